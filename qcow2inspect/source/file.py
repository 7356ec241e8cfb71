"""The image file: opened read-only, read with pread, never mapped, never written.

A mapped file that another program truncates kills the process; a read does not. ``O_NOATIME`` keeps the access
time as it was where the system allows it.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from qcow2inspect.errors import CannotRead
from qcow2inspect.evidence import protect, release
from qcow2inspect.source.shield import identities_of, require_apart
from qcow2inspect.units import HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from qcow2inspect.evidence import Identity

__all__ = ["CHANGED", "FileSource", "Moved"]

CHANGED: set[str] = set()
"""Names of the files that had changed when they were closed; whoever runs a command tells the user, and clears it."""

_LAST_OFFSET = (1 << 63) - 1
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
}


class Moved(str):
    """The path that a file has by its name, and where it lies now.

    Attributes:
        lies_at: what is opened.
    """

    lies_at: str

    def __new__(cls, name: str, lies_at: str | None = None) -> Self:
        """``name``, which lies at ``lies_at``, or at ``name`` if that is None."""
        made = super().__new__(cls, name)
        made.lies_at = lies_at or name
        return made


class FileSource:
    """A :class:`~qcow2inspect.source.protocol.Source` over a regular file or a block device.

    Args:
        path: the file; see :class:`Moved`.
        is_ours: we wrote it ourselves: it is no evidence, and may be written to while it is read.

    Attributes:
        name: the path as it was given.
        size: bytes when it was opened.
        identity: device and inode, which tell whether two names mean one file.

    Raises:
        CannotRead: there is no such file, it may not be read, or it is neither file nor block device.
    """

    def __init__(self, path: str | os.PathLike[str], *, is_ours: bool = False) -> None:
        self.name = os.fspath(path)
        self._fd = -1
        self._protected: tuple[Identity, ...] = ()
        self._lies_at = path.lies_at if isinstance(path, Moved) else self.name
        self._is_ours = is_ours
        self._protect(identities_of(_check_kind(self._lies_at)))
        try:
            status = self._open()
        except BaseException:
            self.close()
            raise
        self.identity = (status.st_dev, status.st_ino)
        self.size = status.st_size if stat.S_ISREG(status.st_mode) else os.lseek(self._fd, 0, os.SEEK_END)

    def _open(self) -> os.stat_result:
        """Open the file, and see that it is still the one that was looked at."""
        self._fd = _open(self._lies_at)
        self._opened = status = os.fstat(self._fd)
        _require_kind(self.name, status.st_mode)
        self._protect(identities_of(status))  # it may have been replaced between the look and the opening
        require_apart(self.name, self._protected)
        return status

    def _protect(self, identities: tuple[Identity, ...]) -> None:
        """This file is evidence, and no other that was under its name."""
        release(self._protected)
        self._protected = () if self._is_ours else identities
        protect(self._protected)

    @property
    def fd(self) -> int:
        """The read-only file descriptor, for copies inside the kernel."""
        return self._fd

    @property
    def is_open(self) -> bool:
        """True until it is closed."""
        return self._fd >= 0

    @property
    def is_regular(self) -> bool:
        """True for a regular file, False for a block device."""
        return stat.S_ISREG(self._opened.st_mode)

    @property
    def allocated(self) -> int:
        """Bytes that the file system stores for the file."""
        return os.fstat(self._fd).st_blocks * 512

    @property
    def mtime(self) -> float:
        """Time of last modification when it was opened, seconds since 1970."""
        return self._opened.st_mtime

    @property
    def opened(self) -> os.stat_result:
        """What the file system said of the file when it was opened."""
        return self._opened

    @property
    def _flags(self) -> int:
        import fcntl

        return fcntl.fcntl(self._fd, fcntl.F_GETFL)

    @property
    def is_read_only(self) -> bool:
        """True if nothing can be written through the file descriptor, as the kernel has it."""
        return self._flags & os.O_ACCMODE == os.O_RDONLY

    @property
    def protection(self) -> str:
        """How the file descriptor keeps the file from being changed, as the kernel has it."""
        mode = "read-only" if self.is_read_only else "NOT read-only"
        kept = self._flags & getattr(os, "O_NOATIME", 0)
        return f"{mode}, {'access time kept' if kept else 'access time not kept (O_NOATIME was refused)'}"

    @property
    def changed(self) -> bool:
        """True if size or modification time differ from what they were when the file was opened."""
        now = os.fstat(self._fd)
        return (now.st_size, now.st_mtime_ns) != (self._opened.st_size, self._opened.st_mtime_ns)

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on; fewer only at the end, none past it.

        Raises:
            CannotRead: the read failed.
        """
        if offset < 0 or size < 0:
            raise ValueError(f"cannot read {size} bytes at {offset}")
        size = min(size, max(0, self.size - offset))
        if size == 0 or offset > _LAST_OFFSET:
            return b""
        try:
            data = os.pread(self._fd, size, offset)
            while len(data) < size:
                more = os.pread(self._fd, size - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise CannotRead(
                f"{self.name}: reading {size} bytes at {offset:#x} failed: {error.strerror}",
                hint="image the failing medium first, for example with ddrescue",
                exit_code=74,
            ) from error
        return data

    def data_ranges(self, within: HostRange) -> Iterator[HostRange]:
        """The parts of ``within`` that the file system stores; all of it where it cannot say."""
        part = within.clip(0, self.size)
        at = int(part.start)
        while at < part.end:
            try:
                start = max(at, os.lseek(self._fd, at, os.SEEK_DATA))
                end = os.lseek(self._fd, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    yield HostRange(HostOffset(at), part.end)
                return
            if start >= part.end:
                return
            yield HostRange(HostOffset(start), HostOffset(min(end, part.end)))
            at = end

    def close(self) -> None:
        """Give the file descriptor back; further calls do nothing."""
        if self._fd >= 0:
            if self.changed:
                CHANGED.add(self.name)
            os.close(self._fd)
            self._fd = -1
        release(self._protected)
        self._protected = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _check_kind(path: str) -> os.stat_result:
    """Refuse what must not even be opened: a FIFO would hang, a device may act on it."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise _cannot_open(path, error) from error
    except ValueError as error:
        raise CannotRead(f"{path!r} is no file name: {error}", hint="give the path of an image file") from error
    _require_kind(path, status.st_mode)
    return status


def _require_kind(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "not a file")
        raise CannotRead(f"{path} is {kind}, not a disk image", hint="give the path of an image file")


def _open(path: str) -> int:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        try:
            return os.open(path, flags | getattr(os, "O_NOATIME", 0))
        except PermissionError:
            return os.open(path, flags)
    except OSError as error:
        raise _cannot_open(path, error) from error


def _cannot_open(path: str, error: OSError) -> CannotRead:
    if isinstance(error, FileNotFoundError):
        return CannotRead(f"{path}: there is no such file", hint="check the path")
    if isinstance(error, PermissionError):
        hint = "ask for read permission, or work on a copy"
        return CannotRead(f"{path}: no permission to read it", hint=hint, exit_code=77)
    return CannotRead(f"{path}: cannot be opened: {error.strerror}", hint="check the path")
