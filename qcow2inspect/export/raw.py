"""The raw disk out of an image: preflight, then copy.

Plain data goes from file to file inside the kernel (copy_file_range) where that works and through large reads and
writes where it does not; holes of the image file stay holes; what reads as zeros is never written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qcow2inspect.errors import CannotExport, CannotRead, Qcow2InspectError
from qcow2inspect.export.plan import Plan, make_plan
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.output import Identity, Output, check_target, free_space
from qcow2inspect.progress import Silent
from qcow2inspect.source.file import FileSource
from qcow2inspect.units import GuestOffset, GuestRange, HostOffset, HostRange, exact_size, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.progress import Progress
    from qcow2inspect.source.protocol import Source

__all__ = ["Check", "ExportResult", "Preflight", "export_raw", "preflight"]

_KERNEL_CHUNK = 8 << 20
_CHUNK = 4 << 20
_NOT_IN_KERNEL = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at before an export.

    Attributes:
        ok: True if it is as it should be.
        text: what it is, for a person.
    """

    ok: bool
    text: str


@dataclass
class Preflight:
    """What is known before the first byte is written.

    Attributes:
        target: where the file shall appear.
        plan: what will be done.
        checks: what was looked at.
        problem: why the export cannot start; None if it can.
    """

    target: str
    plan: Plan
    checks: list[Check] = field(default_factory=list)
    problem: Qcow2InspectError | None = None

    @property
    def size(self) -> int:
        """Bytes of the file that will appear."""
        return self.plan.size

    @property
    def bytes_to_write(self) -> int:
        """Bytes that will be written; the rest stays a hole."""
        return self.plan.to_write

    @property
    def warnings(self) -> list[str]:
        """What a person must know about the bytes that come out."""
        return self.plan.warnings

    def _check(self, ok_text: str, problem: Qcow2InspectError | None) -> None:
        self.checks.append(Check(problem is None, problem.what if problem else ok_text))
        self.problem = self.problem or problem


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export did.

    Attributes:
        path: the file that appeared.
        size: its bytes.
        written: bytes that were written; the rest is holes.
        seconds: how long it took.
        warnings: what a person must know about the bytes.
    """

    path: str
    size: int
    written: int
    seconds: float
    warnings: tuple[str, ...]


def preflight(
    view: View, target: str, *, force: bool = False, sparse: bool = True, progress: Progress | None = None
) -> Preflight:
    """Look whether ``view`` can be written to ``target``; nothing is written.

    Args:
        view: what to export.
        target: path of the raw file.
        force: replace an existing file, and start though the disk looks too full.
        sparse: leave holes where the guest has zeros.
        progress: may ask to stop.

    Raises:
        CannotRead: the image file cannot be read.
        Cancelled: the user asked to stop.
    """
    flight = Preflight(target, make_plan(view, progress))
    problem: Qcow2InspectError | None = None
    try:
        check_target(target, force=force, evidence=_evidence(view))
    except CannotExport as error:
        problem = error
    flight._check("the target is free and is not the evidence", problem)
    amount = f"{human_size(flight.plan.to_write)} to write, disk of {human_size(flight.size)}"
    flight._check(f"every byte can be read: {amount}", flight.plan.problem)
    if problem is None:
        needed = flight.plan.to_write if sparse else flight.size
        free = free_space(target)
        lack = None
        if needed > free and not force:
            lack = CannotExport(
                f"{target}: {human_size(needed)} are needed, {human_size(free)} are free there",
                hint="choose another place, or say --force to try all the same",
            )
        flight._check(f"{human_size(free)} free", lack)
    return flight


def export_raw(
    view: View, target: str, *, force: bool = False, sparse: bool = True, progress: Progress | None = None
) -> ExportResult:
    """Write the bytes of ``view`` to a raw file that appears when it is complete.

    Args:
        view: what to export.
        target: path of the raw file; ``target.part`` exists meanwhile.
        force: replace an existing file, and start though the disk looks too full.
        sparse: leave holes where the guest has zeros; else every byte is allocated.
        progress: told about every piece, in bytes; may ask to stop.

    Raises:
        CannotExport: the target must not or cannot be written.
        CannotRead, Damaged, NeedsFile, NeedsKey: a part of the view cannot be read; nothing is left behind.
        Cancelled: the user asked to stop; nothing is left behind.
    """
    progress = progress or Silent()
    started = time.monotonic()
    flight = preflight(view, target, force=force, sparse=sparse, progress=progress)
    if flight.problem is not None:
        raise flight.problem
    with Output(target, force=force, evidence=_evidence(view)) as output:
        output.truncate(view.size)
        if not sparse:
            _allocate(output, view.size)
        progress.begin(f"Exporting to {target}", flight.plan.to_write)
        copier = _Copier(view, output, progress)
        for extent in view.extents():
            copier.copy(extent)
        warnings = [*flight.warnings, *_changed(view)]
        output.commit()
    return ExportResult(target, view.size, copier.written, time.monotonic() - started, tuple(warnings))


def _evidence(view: View) -> tuple[Identity, ...]:
    return tuple(source.identity for source in view.sources if source.identity is not None)


def _changed(view: View) -> list[str]:
    return [
        f"{source.name} changed while it was read: what was written mixes two states of it"
        for source in view.sources
        if isinstance(source, FileSource) and source.changed
    ]


def _allocate(output: Output, size: int) -> None:
    try:
        if size:
            os.posix_fallocate(output.fd, 0, size)
    except OSError as error:
        raise output.failed(f"reserving {exact_size(size)}", error) from error


def _pieces(extent: Extent) -> Iterator[Extent]:
    """The extent in pieces that fit in memory."""
    for start in range(extent.guest.start, extent.guest.end, _CHUNK):
        yield extent.cut(GuestRange(GuestOffset(start), GuestOffset(min(start + _CHUNK, extent.guest.end))))


def _start_flushing(fd: int, at: int, size: int) -> None:
    """Let the disk write while the next piece is copied; else all of it waits for the end."""
    with contextlib.suppress(OSError):
        os.posix_fadvise(fd, at, size, os.POSIX_FADV_DONTNEED)


class _Copier:
    """Copies extents one after the other.

    Attributes:
        written: bytes that were written so far.
    """

    def __init__(self, view: View, output: Output, progress: Progress) -> None:
        self._view = view
        self._output = output
        self._progress = progress
        self._in_kernel = True
        self.written = 0

    def copy(self, extent: Extent) -> None:
        """Write the bytes of one extent, unless they are zeros."""
        if extent.reads_as_zero:
            return
        plain = self._view.plain(extent)
        if plain is not None:
            self._copy_plain(*plain, int(extent.guest.start))
            return
        for part in _pieces(extent):
            data = self._view.read_extent(part)
            if extent.kind is not ClusterType.COMPRESSED or data.count(0) != len(data):
                self._write(int(part.guest.start), data)
            self._progress.advance(part.guest.size)

    def _write(self, at: int, data: bytes) -> None:
        self._output.write_at(at, data)
        self.written += len(data)

    def _copy_plain(self, source: Source, host: HostRange, at: int) -> None:
        """Copy the stored parts of ``host`` so that its first byte lands at ``at``; holes are passed over."""
        done = host.start
        for part in source.data_ranges(host):
            self._progress.advance(part.start - done)
            self._copy_range(source, part, at + (part.start - host.start))
            done = part.end
        self._progress.advance(host.end - done)

    def _copy_range(self, source: Source, host: HostRange, at: int) -> None:
        start = int(host.start)
        while start < host.end:
            part = HostRange(HostOffset(start), HostOffset(min(host.end, start + _KERNEL_CHUNK)))
            copied = self._copy_in_kernel(source, part, at)
            if not copied:
                copied = self._copy_by_hand(source, part, at)
            _start_flushing(self._output.fd, at, copied)
            self.written += copied
            start += copied
            at += copied
            self._progress.advance(copied)

    def _copy_in_kernel(self, source: Source, host: HostRange, at: int) -> int:
        """Bytes that the kernel copied; 0 if it cannot."""
        if not self._in_kernel or not isinstance(source, FileSource):
            return 0
        try:
            return os.copy_file_range(source.fd, self._output.fd, host.size, int(host.start), at)
        except OSError as error:
            if error.errno not in _NOT_IN_KERNEL:
                raise self._output.failed(f"copying to {at:#x}", error) from error
            self._in_kernel = False
            return 0

    def _copy_by_hand(self, source: Source, host: HostRange, at: int) -> int:
        data = source.read_at(host.start, min(host.size, _CHUNK))
        if not data:
            raise CannotRead(
                f"{source.name} became shorter while it was read: nothing is left at {host.start}",
                hint="work on a copy that nobody changes",
                exit_code=74,
            )
        self._output.write_at(at, data)
        return len(data)
