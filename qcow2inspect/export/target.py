"""Where an export goes: a file, parts of a file, a pipe; :mod:`~qcow2inspect.export.device` is the block device."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import threading
from typing import TYPE_CHECKING, NamedTuple, Protocol

from qcow2inspect.errors import CannotExport
from qcow2inspect.export.names import STDOUT, is_device, part_names
from qcow2inspect.output import Output, check_target, part_of, require_known
from qcow2inspect.source.file import FileSource
from qcow2inspect.source.kernel import devices_of
from qcow2inspect.units import exact_size

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from qcow2inspect.export.choices import Choices
    from qcow2inspect.output import Identity

__all__ = ["FileTarget", "Part", "PipeTarget", "Target", "check", "open_target"]

_NOT_IN_KERNEL = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM)
_TARGET_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_PIECE = 512 << 10
_PAGEWISE = (b"ext2", b"ext3", b"ext4", b"tmpfs")
"""File systems that never share blocks: the kernel copies page by page there, which two threads do faster."""
_SETTLED = 8 << 20
_OTHER_FILES = 256
"""More than an export has open beside its parts: the files of the longest chain, journal, terminal."""


class Part(NamedTuple):
    """Bytes that are copied as they are.

    Attributes:
        at: where they go, counted from the start of the export.
        source: the file that holds them.
        start: where they begin in it.
        end: where they end in it.
    """

    at: int
    source: FileSource
    start: int
    end: int


class Target(Protocol):
    """Takes the bytes of an export.

    Attributes:
        in_order: bytes must come from the first to the last, zeros too.
        needs_zeros: what is not written does not read as zeros.
        in_kernel: :meth:`copy` has the kernel copy, as far as it is known. It lets one writer at a time into a file:
            other threads would only spin.
    """

    in_order: bool
    needs_zeros: bool
    in_kernel: bool

    def write(self, at: int, buffers: Sequence[bytes]) -> None:
        """Write ``buffers`` one behind the other at ``at``; from any thread, unless :attr:`in_order`.

        Raises:
            CannotExport: the target is full or fails.
        """

    def write_zeros(self, at: int, size: int) -> None:
        """Make ``size`` bytes at ``at`` zeros; only called if :attr:`needs_zeros`.

        Raises:
            CannotExport: the target is full or fails.
        """

    def copy(self, parts: Sequence[Part]) -> bool:
        """Copy bytes as they are; False if some cannot be read, whatever was copied until then.

        Raises:
            CannotExport: the target is full or fails.
        """

    def settle(self, at: int, end: int) -> None:
        """Have the disk begin to write what stands before ``end``; else all of it would wait for the flush.

        Args:
            at: where what was just written begins.
            end: where it ends.
        """

    def flush(self) -> None:
        """Have everything on the medium.

        Raises:
            CannotExport: the medium fails.
        """

    def commit(self) -> None:
        """The export is complete.

        Raises:
            CannotExport: the medium fails, or the name was taken meanwhile.
        """

    def close(self) -> None:
        """Clean up; removes what is unfinished, unless it shall be kept."""


class FileTarget:
    """One file, or parts of equal size ``NAME.001``, ``NAME.002``, ... that make one.

    Args:
        path: name of the file, or of the parts without their number.
        size: bytes of everything.
        choices: how to export.
        evidence: files that must never be written.
    """

    in_order = False
    needs_zeros = False

    def __init__(self, path: str, size: int, choices: Choices, evidence: Collection[Identity]) -> None:
        self._part = choices.split or max(size, 1)
        self._buffers = threading.local()
        self.outputs: list[Output] = []
        names = part_names(path, size, choices.split)
        _allow_open(len(names))
        try:
            for name in names:
                if _is_named(name, choices):
                    _take_name(name)
                begun = choices.resume and os.path.lexists(part_of(name))  # the last parts may not have been made
                output = Output(name, force=choices.force, evidence=evidence, resume=begun)
                output.keep = choices.keep or choices.resume
                self.outputs.append(output)
        except BaseException:
            self.keep(wanted=choices.resume)
            self.close()
            raise
        self._size = size
        self._last = os.fstat(self.outputs[-1].fd)
        self.in_kernel = self._last.st_dev not in devices_of(_PAGEWISE)

    @property
    def is_named(self) -> bool:
        """True if the last file has its name, and so all have."""
        try:
            return os.path.samestat(os.stat(self.outputs[-1].path), self._last)
        except OSError:
            return False

    def keep(self, *, wanted: bool) -> None:
        """Whether what is unfinished stays when :meth:`close` comes before :meth:`commit`."""
        for output in self.outputs:
            output.keep = wanted

    def set_size(self, kept: int = 0) -> None:
        """Give all files their size; what lies behind the first ``kept`` bytes becomes zeros.

        Raises:
            CannotExport: some of the first ``kept`` bytes are not there, or the file system does not allow the size.
        """
        kept_of = [min(max(kept - index * self._part, 0), self._part) for index in range(len(self.outputs))]
        for output, least in zip(self.outputs, kept_of, strict=True):
            _require_kept(output, least)
        for index, (output, least) in enumerate(zip(self.outputs, kept_of, strict=True)):
            output.truncate(least)
            output.truncate(min(self._part, self._size - index * self._part))

    def allocate(self, at: int, size: int) -> None:
        """Reserve the space of ``size`` bytes at ``at``.

        Raises:
            CannotExport: there is not enough.
        """
        for output, offset, amount in self._located(at, size):
            try:
                os.posix_fallocate(output.fd, offset, amount)
            except OSError as error:
                raise output.failed(f"reserving {exact_size(amount)}", error) from error

    def _located(self, at: int, size: int) -> Iterator[tuple[Output, int, int]]:
        """The parts that ``size`` bytes at ``at`` fall into: file, offset in it, bytes."""
        while size > 0:
            index, offset = divmod(at, self._part)
            amount = min(size, self._part - offset)
            yield self.outputs[index], offset, amount
            at += amount
            size -= amount

    def write(self, at: int, buffers: Sequence[bytes | memoryview]) -> None:
        """Write at the final place; see :class:`Target`."""
        size = sum(map(len, buffers))
        places = list(self._located(at, size))
        if len(places) == 1:
            places[0][0].write_all(places[0][1], buffers)
            return
        data, done = memoryview(b"".join(buffers)), 0
        for output, offset, amount in places:
            output.write_at(offset, data[done : done + amount])
            done += amount

    def write_zeros(self, at: int, size: int) -> None:
        """Nothing to do: what is not written reads as zeros."""

    def copy(self, parts: Sequence[Part]) -> bool:
        """Have the kernel copy, or carry the bytes through this process where that is faster; see :class:`Target`."""
        if self.in_kernel and all(map(self._copy_in_kernel, parts)):
            return True
        return not self.in_kernel and self._carry(parts)

    def _copy_in_kernel(self, part: Part) -> bool:
        """Copy one part; False if it cannot be read, or if the kernel does not copy here, which is then known."""
        done, size = 0, part.end - part.start
        while done < size:
            output, offset, amount = next(self._located(part.at + done, size - done))
            try:
                copied = os.copy_file_range(part.source.fd, output.fd, amount, part.start + done, offset)
            except OSError as error:
                if error.errno in _TARGET_FULL:
                    raise output.failed(f"copying to {offset:#x}", error) from error
                self.in_kernel = error.errno not in _NOT_IN_KERNEL
                return False
            if not copied:
                return False
            done += copied
        return True

    def _carry(self, parts: Sequence[Part]) -> bool:
        """Read and write in pieces that stay in the cache of the processor; each thread has its own."""
        if not hasattr(self._buffers, "piece"):
            self._buffers.piece = memoryview(bytearray(_PIECE))
        piece: memoryview = self._buffers.piece
        at = filled = 0
        for to, source, start, end in parts:
            if filled and to != at + filled:
                self.write(at, [piece[:filled]])
                filled = 0
            if not filled:
                at = to
            done = start
            while done < end:
                amount = min(end - done, _PIECE - filled)
                if not _read_into(source.fd, piece[filled : filled + amount], done):
                    return False
                done, filled = done + amount, filled + amount
                if filled == _PIECE:
                    self.write(at, [piece])
                    at, filled = at + filled, 0
        if filled:
            self.write(at, [piece[:filled]])
        return True

    def settle(self, at: int, end: int) -> None:
        """Have the disk write what was written; see :class:`Target`."""
        start, stop = (at // _SETTLED - 1) * _SETTLED, end // _SETTLED * _SETTLED
        if stop - start > _SETTLED:
            for output, offset, amount in self._located(max(0, start), stop - max(0, start)):
                with contextlib.suppress(OSError):
                    os.posix_fadvise(output.fd, offset, amount, os.POSIX_FADV_DONTNEED)

    def flush(self) -> None:
        """Have everything on the disk."""
        for output in self.outputs:
            output.flush()

    def read_back(self) -> Iterator[tuple[FileSource, int]]:
        """The files as they are on the disk, each with the offset of its first byte."""
        for index, output in enumerate(self.outputs):
            with contextlib.suppress(OSError):
                os.posix_fadvise(output.fd, 0, 0, os.POSIX_FADV_DONTNEED)
            with FileSource(f"/proc/self/fd/{output.fd}") as source:
                yield source, index * self._part

    def commit(self) -> None:
        """Give the files their names."""
        for output in self.outputs:
            output.commit()

    def close(self) -> None:
        """Remove what is unfinished, unless it shall be kept."""
        for output in self.outputs:
            output.__exit__(None, None, None)


class PipeTarget:
    """Standard output: all bytes in order, zeros too."""

    in_order = True
    needs_zeros = True
    in_kernel = False
    _ZEROS = bytes(1 << 20)

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd
        if os.isatty(fd):
            raise CannotExport("standard output is a terminal", hint="send it to a program or a file")

    def write(self, at: int, buffers: Sequence[bytes]) -> None:
        """Write what comes next."""
        try:
            for data in buffers:
                view = memoryview(data)
                while view:
                    view = view[os.write(self._fd, view) :]
        except OSError as error:
            what = f"writing to standard output failed after {at:,} bytes: {error.strerror}"
            raise CannotExport(what, why="whoever reads it has not got everything", exit_code=74) from error

    def write_zeros(self, at: int, size: int) -> None:
        """Write zeros."""
        for done in range(0, size, len(self._ZEROS)):
            self.write(at + done, [self._ZEROS[: size - done]])

    def copy(self, parts: Sequence[Part]) -> bool:
        """Never: the bytes have to come in order."""
        return False

    def settle(self, at: int, end: int) -> None:
        """Nothing is held back."""

    def flush(self) -> None:
        """Nothing is held back."""

    def commit(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


def _read_into(fd: int, piece: memoryview, at: int) -> bool:
    """Fill ``piece`` with the bytes at ``at``; False if they are not all to be had."""
    try:
        return os.preadv(fd, [piece], at) == len(piece)
    except OSError:
        return False


def check(path: str, size: int, choices: Choices, evidence: Collection[Identity]) -> None:
    """See whether an export may go to ``path``; nothing is touched.

    Raises:
        CannotExport: it must not, or cannot.
    """
    if path == STDOUT:
        _refuse_needs_file("standard output", choices, verify=choices.verify)
        if os.isatty(1):
            raise CannotExport("standard output is a terminal", hint="send it to a program or a file")
    elif is_device(path):
        from qcow2inspect.export.device import describe_device, require_device

        if not choices.device:
            what = f"{path} is a block device: {describe_device(path)}"
            raise CannotExport(what, why="everything on it would be lost", hint="--force-device writes to it")
        _refuse_needs_file("a block device", choices)
        require_device(path, size, evidence)
        require_known(path, is_device=True)
    else:
        names = part_names(path, size, choices.split)
        _require_open(len(names))
        for name in names:
            named = _is_named(name, choices)
            resume = choices.resume and not named
            check_target(name, force=choices.force or named, evidence=evidence, resume=resume, ours=named)


def _require_open(count: int) -> None:
    """Refuse more parts than can be open at the same time, as all of them are.

    Raises:
        CannotExport: the system does not allow so many.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most != resource.RLIM_INFINITY and count + _OTHER_FILES > most:
        what = f"{count:,} parts are more files than this process may have open, which are {most:,}"
        raise CannotExport(what, hint="choose larger parts, or raise the limit (ulimit -Hn)")


def _allow_open(count: int) -> None:
    """Have the system allow as many open files as there are parts; usual are 1024."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + _OTHER_FILES
    if now != resource.RLIM_INFINITY and now < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))


def _is_named(name: str, choices: Choices) -> bool:
    """True for a part that got its name in an earlier run that was stopped before the others got theirs."""
    if not (choices.resume and choices.split):
        return False
    if not os.path.isfile(name) or os.path.islink(name):
        return False
    return not os.path.lexists(part_of(name)) or os.path.samefile(name, part_of(name))


def _take_name(name: str) -> None:
    """Make a part that has its name, perhaps beside that of an unfinished file, unfinished again."""
    if os.path.lexists(part_of(name)):
        os.unlink(name)
    else:
        os.rename(name, part_of(name))


def _require_kept(output: Output, least: int) -> None:
    """Refuse to go on with a file that has lost what the journal says is in it: zeros would stand there.

    Raises:
        CannotExport: it is shorter than ``least`` bytes.
    """
    size = os.fstat(output.fd).st_size
    if size < least:
        raise CannotExport(
            f"{part_of(output.path)} holds {size:,} bytes, of {least:,} that were written before",
            why="somebody changed or removed it meanwhile",
            hint="start again without --resume, with --force",
        )


def _refuse_needs_file(target: str, choices: Choices, *, verify: bool = False) -> None:
    """Refuse what only a file has: parts, names beside it, a way to read it back."""
    for chosen, option in (
        (choices.split, "--split"),
        (choices.resume, "--resume"),
        (choices.manifest, "--manifest"),
        (choices.hash_sources, "--hash-sources"),
        (verify, "--verify"),
    ):
        if chosen:
            raise CannotExport(f"{option} needs a file, not {target}", hint="give the name of a file")


def open_target(path: str, size: int, choices: Choices, evidence: Collection[Identity]) -> Target:
    """The target that ``path`` means.

    Raises:
        CannotExport: it must not be written, or cannot.
    """
    check(path, size, choices, evidence)
    if path == STDOUT:
        return PipeTarget()
    if is_device(path):
        from qcow2inspect.export.device import DeviceTarget

        return DeviceTarget(path, size, evidence)
    return FileTarget(path, size, choices, evidence)
