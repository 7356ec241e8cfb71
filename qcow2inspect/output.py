"""Files that appear under their name only when they are complete, and never over evidence.

Everything is written to ``NAME.part`` in the same folder. :meth:`Output.commit` flushes it to the disk and gives it
its name; anything else removes it. A name that means an evidence file, by hard link or symbolic link too, is refused,
and so is every file that may be one; see :mod:`qcow2inspect.evidence`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import IO, TYPE_CHECKING

from qcow2inspect.errors import CannotExport
from qcow2inspect.evidence import Identity, held, loose_ends
from qcow2inspect.unbroken import unbroken

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from types import TracebackType
    from typing import Self

__all__ = [
    "HOW_TO_OPEN",
    "Identity",
    "Output",
    "append_line",
    "check_log",
    "check_target",
    "finished",
    "free_space",
    "locked",
    "open_log",
    "part_of",
    "require_known",
]

finished: list[str] = []
"""Names of all files that appeared in this process, in order."""

HOW_TO_OPEN = "--follow any, --backing NAME=PATH"
"""How the files that an image names are opened, in hints of the command line."""

_IOV_MAX = 1024
_LINKS = 40
_FULL = (errno.ENOSPC, errno.EDQUOT)


def _advice(code: int | None, *, keep: bool) -> str:
    """What to do about a file that cannot be written."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if code == errno.EFBIG and limit != resource.RLIM_INFINITY:
        hint = f"raise the limit of this process for the size of a file (ulimit -f), now {limit:,} bytes"
        return f"{hint}, then continue it (--resume)" if keep else hint
    if code == errno.EFBIG:
        return "choose a place whose file system holds files of this size"
    hint = "free some space or choose another place" if code in _FULL else "choose another place"
    return f"continue it (--resume) when that is mended, or {hint}" if keep else hint


def check_target(
    path: str, *, force: bool, evidence: Collection[Identity] = (), resume: bool = False, ours: bool = False
) -> None:
    """See whether a file may be written at ``path``; nothing is touched.

    Args:
        path: where the file shall appear.
        force: an existing regular file may be replaced.
        evidence: files that must never be written, beside those that the whole process knows.
        resume: an unfinished file may be there, and will be continued.
        ours: what is there is known to be a file of ours.

    Raises:
        CannotExport: the path is evidence or may be, a folder, no regular file, taken, or its folder cannot be written.
    """
    if not os.path.basename(path) and not os.path.isdir(path):
        raise CannotExport(f"“{path}” names no file", hint="give the name of a file")
    kept = held().union(evidence)
    for name in (path, part_of(path)):
        _refuse_evidence(name, kept)
        continued = resume and name != path
        if _is_there(name, path, force=force or continued) and not (ours or continued):
            require_known(name)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise CannotExport(f"{path}: the folder {folder} does not exist", hint="create it, or choose another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CannotExport(f"{path}: no permission to write into {folder}", hint="choose another place")


def free_space(path: str) -> int:
    """Bytes that can still be written where ``path`` shall appear."""
    status = os.statvfs(os.path.dirname(path) or ".")
    return status.f_bavail * status.f_frsize


class Output:
    """A file in the making. Use it as a context manager: leaving it without :meth:`commit` removes it.

    Args:
        path: the name under which it shall appear.
        force: an existing file may be replaced.
        evidence: files that must never be written, beside those that the whole process knows.
        resume: go on with the unfinished file that is there.
        listed: name it among those that are :data:`finished`.
        ours: what is there is known to be a file of ours.

    Attributes:
        path: the name under which it shall appear.
        keep: leave the unfinished file behind when :meth:`commit` is not reached.

    Raises:
        CannotExport: see :func:`check_target`; or the file cannot be created.
    """

    def __init__(
        self,
        path: str,
        *,
        force: bool = False,
        evidence: Collection[Identity] = (),
        resume: bool = False,
        listed: bool = True,
        ours: bool = False,
    ) -> None:
        self.path = path
        self._listed = listed
        self.keep = resume
        self._evidence = evidence
        self._fd = -1
        self._over = True
        self._replaced = _identity(path)
        check_target(path, force=force, evidence=evidence, resume=resume, ours=ours)
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (0 if resume else os.O_CREAT | os.O_EXCL)
        try:
            if force and not resume:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(part_of(path))
            with unbroken():
                self._fd = os.open(part_of(path), flags, 0o666)
                self._over = False
        except OSError as error:
            what = f"{part_of(path)}: cannot be {'opened' if resume else 'created'}: {error.strerror}"
            raise CannotExport(what, hint=_advice(error.errno, keep=False), exit_code=74) from error
        try:
            _require_alone(self._fd, part_of(path), path)
        except CannotExport:
            self._leave()
            raise

    @property
    def fd(self) -> int:
        """File descriptor, for reading and writing."""
        return self._fd

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of ``data`` at ``offset``.

        Raises:
            CannotExport: the disk is full or fails.
        """
        view = memoryview(data)
        try:
            while view:
                done = os.pwrite(self._fd, view, offset)
                offset += done
                view = view[done:]
        except OSError as error:
            raise self.failed(f"writing at {offset:#x}", error) from error

    def write_all(self, offset: int, buffers: Sequence[bytes | memoryview]) -> None:
        """Write ``buffers`` one behind the other at ``offset``, in as few calls as the system allows.

        Raises:
            CannotExport: the disk is full or fails.
        """
        try:
            for first in range(0, len(buffers), _IOV_MAX):
                batch = buffers[first : first + _IOV_MAX]
                done = os.pwritev(self._fd, batch, offset)
                if done != sum(map(len, batch)):
                    self.write_at(offset + done, b"".join(batch)[done:])
                offset += sum(map(len, batch))
        except OSError as error:
            raise self.failed(f"writing at {offset:#x}", error) from error

    def read_at(self, offset: int, size: int) -> bytes:
        """Read back what was written; short only at the end."""
        return os.pread(self._fd, size, offset)

    def truncate(self, size: int) -> None:
        """Set the size; what was not written reads as zeros.

        Raises:
            CannotExport: the file system does not allow the size.
        """
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise self.failed(f"a size of {size:,} bytes", error) from error

    def failed(self, doing: str, error: OSError) -> CannotExport:
        """The error that tells a person what went wrong with this file."""
        return CannotExport(
            f"{self.path}: {doing} failed: {error.strerror}",
            why="the unfinished file is kept" if self.keep else "the unfinished file is removed",
            hint=_advice(error.errno, keep=self.keep),
            exit_code=74,
        )

    def flush(self) -> None:
        """Have everything on the disk.

        Raises:
            CannotExport: the disk fails.
        """
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self.failed("flushing", error) from error

    def commit(self) -> None:
        """Flush everything to the disk, then give the file its name.

        Raises:
            CannotExport: the disk fails, or somebody else took the name meanwhile.
        """
        try:
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1
            _refuse_evidence(self.path, held().union(self._evidence))
            there = _identity(self.path)
            _rename(part_of(self.path), self.path, force=there is not None and there == self._replaced)
            self._over = True
            finished.extend([self.path] if self._listed else [])
            _sync_folder(self.path)
        except FileExistsError as error:
            self._leave()
            raise CannotExport(f"{self.path} appeared meanwhile and is kept", hint="choose another name") from error
        except CannotExport:
            self._leave()
            raise
        except OSError as error:
            self._leave()
            raise self.failed("finishing", error) from error

    def discard(self) -> None:
        """Remove what was written so far; does nothing after :meth:`commit`."""
        if self._over:
            return
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part_of(self.path))
        self._over = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        with unbroken():
            if not self.keep:
                self.discard()
            elif self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


def open_log(path: str, *, fresh: bool) -> IO[bytes]:
    """A log beside an output: a new one for reading and writing, in place of any other, or an old one for reading.

    Raises:
        OSError: it cannot be opened.
    """
    if fresh:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL if fresh else os.O_RDONLY
    return os.fdopen(os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666), "rb+" if fresh else "rb")


def check_log(path: str, evidence: Collection[Identity] = ()) -> None:
    """See whether lines may be added to a file of ours; nothing is touched.

    Args:
        path: the file; it need not be there yet.
        evidence: files that must never be written, beside those that the whole process knows.

    Raises:
        CannotExport: it is evidence, no regular file, or has another name, which may be that of evidence.
    """
    _refuse_evidence(path, held().union(evidence))
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            raise CannotExport(f"{path} is no regular file", hint="move it away, or choose another folder")
        _refuse_other_names(status, path, 1)


def append_line(path: str, line: str, *, instead: bool = False) -> None:
    """Add a line to a text file that is made if it is not there, and have it on the disk.

    Args:
        path: the file; a link is not followed.
        line: without the line end.
        instead: in place of what the file holds.

    Raises:
        CannotExport: it cannot be written.
    """
    if instead:
        with Output(path, force=True, listed=False, ours=True) as output:
            output.write_at(0, line.encode("utf-8", "backslashreplace") + b"\n")
            output.commit()
        return
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    check_log(path)
    try:
        fd = os.open(path, flags, 0o666)
        try:
            _require_alone(fd, path)
            _append(fd, line.encode("utf-8", "backslashreplace") + b"\n")
        finally:
            os.close(fd)
    except OSError as error:
        what = f"{path}: cannot be written: {error.strerror}"
        raise CannotExport(what, why="nothing was added to it", hint="free some space", exit_code=74) from error


def _append(fd: int, data: bytes) -> None:
    """All of ``data``, or nothing of it."""
    size = os.fstat(fd).st_size
    try:
        done = 0
        while done < len(data):
            done += os.write(fd, data[done:])
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, size)
        raise


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Nobody else who asks for this folder gets it meanwhile; whoever comes second waits."""
    import fcntl

    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def part_of(path: str) -> str:
    """Name of the file until it is complete."""
    return f"{path}.part"


def _refuse_evidence(name: str, evidence: Collection[Identity]) -> None:
    for look in (os.stat, os.lstat):
        with contextlib.suppress(OSError, ValueError):
            status = look(name)
            if (status.st_dev, status.st_ino) in evidence:
                raise CannotExport(
                    f"{name} is evidence: the image, or a file that it names",
                    why="evidence is never written to",
                    hint="choose another target",
                )


def require_known(name: str, *, is_device: bool = False) -> None:
    """Refuse to replace what is at ``name`` as long as it might belong to a chain whose end nobody knows.

    Args:
        name: a file, or a device.
        is_device: it is a block device, which is written to.

    Raises:
        CannotExport: an open image names a file that was not opened.
    """
    ends = loose_ends()
    if ends:
        refused = "is not written to" if is_device else "exists and is not replaced"
        instead = "or write to standard output (-)" if is_device else "choose another name, or remove the file first"
        raise CannotExport(
            f"{name} {refused}: {ends[0]}, which is not opened, and this may be a file behind it",
            hint=f"open all files of the chain ({HOW_TO_OPEN}), {instead}",
        )


def _require_alone(fd: int, name: str, path: str = "") -> None:
    """See that what is written to an open file appears under ``name``, and under ``path``, only."""
    status = os.fstat(fd)
    _refuse_other_names(status, name, 1 + (_identity(path) == (status.st_dev, status.st_ino)))


def _refuse_other_names(status: os.stat_result, name: str, known: int) -> None:
    if status.st_nlink > known:
        raise CannotExport(
            f"{name} has another name (a hard link)",
            why="what is written to it would stand there too",
            hint="put a copy in its place",
        )


def _identity(name: str) -> Identity | None:
    """What stands under a name itself, be it a link; None if nothing does."""
    try:
        status = os.lstat(name)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _is_there(name: str, path: str, *, force: bool) -> bool:
    """True if something stands under ``name`` that may be replaced.

    Raises:
        CannotExport: it may not be.
    """
    try:
        mode = os.lstat(name).st_mode
        if stat.S_ISLNK(mode) and os.path.exists(name):
            mode = os.stat(name).st_mode
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            long = f"the name of {os.path.basename(name)} is too long for the system"
            raise CannotExport(f"{path}: {long}", hint="choose a shorter name") from error
        raise CannotExport(f"{path}: cannot be a target: {error}", hint="choose another name") from error
    if stat.S_ISDIR(mode):
        raise CannotExport(f"{name} is a folder", hint="give the name of a file")
    if (not stat.S_ISREG(mode) and not stat.S_ISLNK(mode)) or _is_descriptor(name):
        raise CannotExport(f"{name} is no regular file", hint="choose another target")
    if not force:
        left_over = " (left over from an unfinished run)" if name != path else ""
        raise CannotExport(f"{name} exists{left_over}", hint="choose another name, or say --force to replace it")
    return True


def _is_descriptor(name: str) -> bool:
    """True if ``name`` stands for a file that a process has open, as ``/dev/stdout`` does, whatever that file is."""
    for _ in range(_LINKS):
        if os.path.realpath(os.path.dirname(name)).startswith("/proc/"):
            return True
        if not os.path.islink(name):
            return False
        name = os.path.join(os.path.dirname(name), os.readlink(name))
    return False


def _rename(part: str, path: str, *, force: bool) -> None:
    """Give ``part`` the name ``path``; without ``force`` never over an existing file, not even in a race."""
    if force:
        os.rename(part, path)
        return
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: the check right before is the best there is
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        os.rename(part, path)
        return
    os.unlink(part)


def _sync_folder(path: str) -> None:
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
