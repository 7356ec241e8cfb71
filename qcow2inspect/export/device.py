"""A block device as the target of an export: what it is, whether it may be written, and writing to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from qcow2inspect.errors import CannotExport
from qcow2inspect.evidence import held
from qcow2inspect.export.kin import kin_of
from qcow2inspect.source.file import FileSource
from qcow2inspect.source.shield import BLOCK_DEVICE, identities_of
from qcow2inspect.units import exact_size, human_size

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from qcow2inspect.export.target import Part
    from qcow2inspect.output import Identity

__all__ = ["DeviceTarget", "describe_device", "require_device"]

_BLKZEROOUT = 0x127F


class DeviceTarget:
    """A block device; zeros are written, because something else may be there."""

    in_order = False
    needs_zeros = True
    in_kernel = False
    _ZEROS = bytes(1 << 20)

    def __init__(self, path: str, size: int, evidence: Collection[Identity]) -> None:
        self.path = path
        require_device(path, size, evidence)
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
        except OSError as error:
            raise self._failed("opening", error) from error

    def _failed(self, doing: str, error: OSError) -> CannotExport:
        return CannotExport(f"{self.path}: {doing} failed: {error.strerror}", exit_code=74)

    def write(self, at: int, buffers: Sequence[bytes]) -> None:
        """Write at the final place."""
        view = memoryview(b"".join(buffers))
        try:
            while view:
                done = os.pwrite(self._fd, view, at)
                at, view = at + done, view[done:]
        except OSError as error:
            raise self._failed(f"writing at {at:#x}", error) from error

    def write_zeros(self, at: int, size: int) -> None:
        """Have the device write zeros, or write them."""
        try:
            fcntl.ioctl(self._fd, _BLKZEROOUT, at.to_bytes(8, "little") + size.to_bytes(8, "little"))
        except OSError:
            for done in range(0, size, len(self._ZEROS)):
                self.write(at + done, [self._ZEROS[: size - done]])

    def copy(self, parts: Sequence[Part]) -> bool:
        """Never: the kernel copies between regular files."""
        return False

    def settle(self, at: int, end: int) -> None:
        """Nothing to do: whoever flushes waits."""

    def flush(self) -> None:
        """Have everything on the device."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self._failed("flushing", error) from error

    def read_back(self) -> Iterator[tuple[FileSource, int]]:
        """The device as it is now."""
        with contextlib.suppress(OSError):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
        with FileSource(self.path) as source:
            yield source, 0

    def commit(self) -> None:
        """Have everything on the device."""
        self.flush()

    def close(self) -> None:
        """Give the device back."""
        os.close(self._fd)


def describe_device(path: str) -> str:
    """What a block device is: size, model, where it is mounted."""
    name = os.path.basename(os.path.realpath(path))
    words = [human_size(_device_size(path))]
    for attribute in ("device/vendor", "device/model", "loop/backing_file"):
        with contextlib.suppress(OSError), open(f"/sys/class/block/{name}/{attribute}", encoding="utf-8") as file:
            words.append(file.read().strip())
    places = _mounted(path)
    words.append(f"mounted at {', '.join(places)}" if places else "not mounted")
    return ", ".join(word for word in words if word)


def _device_size(path: str) -> int:
    with FileSource(path) as source:
        return source.size


def _mounted(path: str) -> list[str]:
    """Where the device or a partition of it is mounted."""
    real = os.path.realpath(path)
    names = {real}
    with contextlib.suppress(OSError):
        names |= {f"/dev/{name}" for name in os.listdir(f"/sys/class/block/{os.path.basename(real)}")}
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
        rows = [line.split() for line in file]
    return [row[1] for row in rows if os.path.realpath(row[0]) in names]


def require_device(path: str, size: int, evidence: Collection[Identity]) -> None:
    """See whether a block device may be written; nothing is touched.

    Raises:
        CannotExport: it is evidence, is in use, or is too small.
    """
    status = os.stat(path)
    devices, files = kin_of(status.st_rdev)
    kept = held().union(evidence)
    known = {*files, *identities_of(status), *((BLOCK_DEVICE, device) for device in devices)}
    if not kept.isdisjoint(known) or any(device in devices for device, _ in kept):
        raise CannotExport(
            f"{path} is, or holds, the image or a file that it names, or is made of it",
            why="evidence is never written to",
            hint="choose another target",
        )
    if _mounted(path):
        raise CannotExport(f"{path} is in use: {describe_device(path)}", hint="unmount it first")
    there = _device_size(path)
    if there < size:
        raise CannotExport(f"{path} is too small: {exact_size(there)}, {exact_size(size)} are needed", exit_code=74)
