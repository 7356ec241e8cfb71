"""Steps in threads, results in order.

::

    extents -> steps (decrypted) -> bounded queue -> threads: read, inflate, write
                                              |
                  main thread <- in order ----+    journal, hashes, pipe, progress

The threads write to the final place themselves; only what must see the bytes in order waits for its turn. Two kinds of
steps are worked on in the main thread: those that the kernel copies for us, for it lets one writer at a time into a
file (where it would copy page by page, threads read and write); and those that are decrypted, which is so many short
calls that threads would wait for each other in between; they are only written in the others.
"""

from __future__ import annotations

import threading
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, TypeAlias

from qcow2inspect.export.choices import Sparse
from qcow2inspect.export.load import Loaded, Loader
from qcow2inspect.export.steps import steps, with_zeros
from qcow2inspect.export.target import Part
from qcow2inspect.source.file import FileSource
from qcow2inspect.workers import in_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qcow2inspect.export.choices import Choices
    from qcow2inspect.export.hashes import Hashes
    from qcow2inspect.export.journal import Checkpoints, Journal
    from qcow2inspect.export.load import Piece
    from qcow2inspect.export.steps import Step
    from qcow2inspect.export.target import Target
    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.progress import Progress

__all__ = ["Pipeline"]

_Begun: TypeAlias = "tuple[Step, Loaded | None]"
"""A step, and its bytes if they are loaded already."""


class Pipeline:
    """Writes the bytes of a view to a target.

    Args:
        view: gave the extents.
        target: takes the bytes.
        choices: how to export.
        hashes: see all bytes in order; may be empty.
        progress: is told about every step, in order; may ask to stop.

    Attributes:
        written: bytes that were written so far; zeros that were never written do not count.
    """

    def __init__(self, view: View, target: Target, choices: Choices, hashes: Hashes, progress: Progress) -> None:
        self._view = view
        self._target = target
        self._hashes = hashes
        self._progress = progress
        self._stop = threading.Event()
        self._loader = Loader(view, choices.on_error, choices.sparse, self._stop)
        self._origin = int(choices.within.start) if choices.within else 0
        self._sees_all = bool(hashes) or target.in_order
        self._in_kernel = not (self._sees_all or target.needs_zeros or choices.sparse is Sparse.DETECT)
        self._turn = threading.Lock()
        self.written = 0

    @property
    def counts_all(self) -> bool:
        """True if zeros are work too: progress then counts every byte of the view."""
        return self._sees_all or self._target.needs_zeros

    def run(self, extents: Iterable[Extent], journal: Journal, checkpoints: Checkpoints | None) -> None:
        """Write extents that follow each other.

        Raises:
            CannotExport: the target is full or fails.
            CannotRead, Damaged, NeedsFile, NeedsKey: bytes cannot be read, and the policy is to fail.
            Cancelled: the user asked to stop.
        """
        cut = steps(extents, is_plain=self._is_plain, copies=self._in_kernel, cut_zeros=self.counts_all)
        todo = map(self._begun, cut)
        with closing(in_order(todo, self._work, self._progress, self._stop, self._is_alone)) as results:
            for step, loaded in results:
                for trouble in loaded.troubles:
                    journal.add(trouble)
                self._see(step, loaded)
                self.written += loaded.written
                if checkpoints is not None:
                    checkpoints.reached(step.end - self._origin)
                self._progress.advance(step.end - step.start if self.counts_all else step.work)

    def _is_plain(self, extent: Extent) -> bool:
        return self._view.plain_source(extent) is not None

    def _begun(self, step: Step) -> _Begun:
        """A step, decrypted if it must be: in the thread that takes the steps, while others write those before."""
        return step, self._loader.load(step.extents) if step.encrypted else None

    def _is_alone(self, begun: _Begun) -> bool:
        """True for steps in which several threads would only wait for each other."""
        return begun[0].copied and self._target.in_kernel

    # -- in threads -------------------------------------------------------------------------------------------

    def _work(self, begun: _Begun) -> tuple[Step, Loaded]:
        """Write one step to its final place, unless the target wants everything in order."""
        step, loaded = begun
        if loaded is None:
            done = Loaded()
            rest = self._uncopied(step, done) if self._in_kernel else step.extents
            loaded = self._loader.load(rest)
            loaded.written = done.written
            if self._in_kernel and rest is step.extents:
                self._blank(loaded)
        if not self._target.in_order:
            self._write(step, loaded)
            if not self._hashes:
                loaded.pieces.clear()  # here, where the memory came from and is needed again
            self._target.settle(step.start - self._origin, step.end - self._origin)
        return step, loaded

    def _uncopied(self, step: Step, done: Loaded) -> list[Extent]:
        """Copy what can be copied as it is; the extents that must be loaded."""
        parts: list[Part] = []
        rest = []
        for extent in step.extents:
            found = self._parts_of(extent)
            if found is None:
                rest.append(extent)
            else:
                parts += found
        with self._turn if self._target.in_kernel else nullcontext():
            self._loader.stop_if_asked()
            if not self._target.copy(parts):
                return step.extents  # the slow way finds out which bytes cannot be read
        done.written += sum(part.end - part.start for part in parts)
        return rest

    def _blank(self, loaded: Loaded) -> None:
        """Write the zeros that are said to stand there: a medium may have given the bytes once, and not again."""
        for trouble in loaded.troubles:
            if trouble.kind == "unreadable" and trouble.written == "zeros":
                self._target.write(trouble.guest.start - self._origin, [bytes(trouble.guest.size)])
                loaded.written += trouble.guest.size

    def _parts_of(self, extent: Extent) -> Sequence[Part] | None:
        """What is to be copied of an extent, which may be nothing; None if it must be loaded."""
        if extent.past_end or extent.absent:
            return None
        if extent.reads_as_zero:
            return ()
        source = self._view.plain_source(extent)
        if not isinstance(source, FileSource):
            return None
        shift = extent.start - self._origin - extent.host_start
        parts = self._loader.stored.within(source, extent.host_start, extent.host_end)
        return [Part(start + shift, source, start, end) for start, end in parts]

    def _write(self, step: Step, loaded: Loaded) -> None:
        at = step.start
        for start, buffers in _runs(loaded.pieces):
            self._fill(at, start)
            self._target.write(start - self._origin, buffers)
            size = sum(map(len, buffers))
            loaded.written += size
            at = start + size
        self._fill(at, step.end)

    def _fill(self, start: int, end: int) -> None:
        """Zeros between pieces, where they do not come by themselves."""
        if end > start and self._target.needs_zeros:
            self._target.write_zeros(start - self._origin, end - start)

    # -- in order ---------------------------------------------------------------------------------------------

    def _see(self, step: Step, loaded: Loaded) -> None:
        """Show the bytes of a step to whatever must see them in order."""
        if self._target.in_order:
            self._write(step, loaded)
        if self._hashes:
            self._hashes.update(*with_zeros(step, loaded.pieces))


def _runs(pieces: Iterable[Piece]) -> Iterator[tuple[int, list[bytes]]]:
    """Pieces that touch each other together: offset of the first, all their bytes."""
    first = end = -1
    buffers: list[bytes] = []
    for at, data in pieces:
        if at != end and buffers:
            yield first, buffers
            buffers = []
        if not buffers:
            first = at
        buffers.append(data)
        end = at + len(data)
    if buffers:
        yield first, buffers
