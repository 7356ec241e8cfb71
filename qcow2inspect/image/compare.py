"""Where two views differ: two images, two states of one disk, an image and the raw file made of it.

::

    extents of A --+
                   +--> pairs --> settled by the tables alone, or read, inflated, decrypted and compared in threads
    extents of B --+                                                   |
                                                     parts, in order <-+

The tables come first: bytes that are stored once for both sides (equal entries of one file, as snapshots have them)
and zeros that both tables tell of are never read. What cannot be read, and what reads as zeros only because a file
is missing or too short, is never called the same.
"""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qcow2inspect.errors import CannotRead, Damaged, Qcow2InspectError
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.parts import NEAR, Part, Relation, joined
from qcow2inspect.image.view import Window
from qcow2inspect.image.windows import extents_of
from qcow2inspect.progress import Silent
from qcow2inspect.units import GuestOffset, GuestRange
from qcow2inspect.workers import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from qcow2inspect.image.support import Support
    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.progress import Progress
    from qcow2inspect.source.protocol import Source

__all__ = ["compare", "next_difference", "pairs"]


_LOAD = 1 << 20
_MOST_PAIRS = 256
_STORED = (ClusterType.NORMAL, ClusterType.COMPRESSED)
_LARGEST_STEP = 1 << 30


def compare(
    a: View,
    b: View,
    progress: Progress | None = None,
    *,
    within: GuestRange | None = None,
    watch: Callable[[Part], object] | None = None,
) -> Iterator[Part]:
    """The parts of two views, in order, without gaps; past the end of the smaller one there are zeros, as in QEMU.

    Args:
        a: one view.
        b: the other.
        progress: told about every piece, in guest bytes; may ask to stop.
        within: which bytes; all of the larger view by default.
        watch: is shown every pair of extents before it is compared.

    Raises:
        Cancelled: the user asked to stop.
    """
    progress = progress or Silent()
    part = (within or GuestRange.at(0, max(a.size, b.size))).clip(0, max(a.size, b.size))
    progress.begin("Comparing", part.size)
    stop = threading.Event()
    comparer = _Comparer(a, b, stop)
    batches = _batches(comparer.settled(pair) for pair in _watched(pairs(a, b, part, progress), watch))
    with closing(in_order(batches, comparer.work, progress, stop)) as results:
        yield from joined(_told(results, progress))


def _watched(found: Iterable[Part], watch: Callable[[Part], object] | None) -> Iterator[Part]:
    for pair in found:
        if watch is not None:
            watch(pair)
        yield pair


def next_difference(a: View, b: View, at: int, step: int, progress: Progress | None = None) -> Part | None:
    """The first difference that begins after ``at`` (``step`` 1), or the last that begins before it (-1).

    Parts that cannot be read count as differences: nobody can say that they are the same.

    Raises:
        Cancelled: the user asked to stop.
    """
    size = max(a.size, b.size)
    if step > 0:
        ahead = _noted(a, b, GuestRange(GuestOffset(min(at, size)), GuestOffset(size)), progress)
        return next((part for part in ahead if part.guest.start > at), None)
    end, span = min(at, size), _LOAD
    while end > 0:
        start = max(0, end - span)
        found = _last(_noted(a, b, GuestRange(GuestOffset(start), GuestOffset(end)), progress))
        if found is not None and (found.guest.start > start or not start or span >= _LARGEST_STEP):
            return found
        end, span = end if found else start, min(span * 2, _LARGEST_STEP)
    return None


def _last(parts: Iterable[Part]) -> Part | None:
    found = None
    for part in parts:
        found = part
    return found


def _noted(a: View, b: View, within: GuestRange, progress: Progress | None) -> Iterator[Part]:
    noted = (Relation.DIFFERENT, Relation.UNREADABLE)
    return (part for part in compare(a, b, progress, within=within) if part.relation in noted)


# -- pairs ------------------------------------------------------------------------------------------------------


def pairs(a: View, b: View, within: GuestRange, progress: Progress) -> Iterator[Part]:
    """What both tables say, cut where either changes its mind; nothing is compared yet.

    Raises:
        Cancelled: the user asked to stop.
    """
    left, right = _Side(a, within, progress), _Side(b, within, progress)
    at = within.start
    while at < within.end:
        part = GuestRange(at, min(left.end_at(at), right.end_at(at)))
        yield Part(part, Relation.SAME, left.cut(part), right.cut(part))
        at = part.end


class _Side:
    """The extents of one view; None where it has ended."""

    def __init__(self, view: View, within: GuestRange, progress: Progress) -> None:
        self._end = within.end
        self._extents = extents_of(view, within.clip(0, view.size), progress)
        self._extent = next(self._extents, None)

    def end_at(self, at: GuestOffset) -> GuestOffset:
        """Where what is at ``at`` ends."""
        while self._extent is not None and self._extent.end <= at:
            self._extent = next(self._extents, None)
        return GuestOffset(min(self._extent.end, self._end)) if self._extent else self._end

    def cut(self, part: GuestRange) -> Extent | None:
        """What is in ``part``, which ends where the extent does or before."""
        return self._extent.cut(int(part.start), int(part.end)) if self._extent else None


def _is_zero(extent: Extent | None) -> bool:
    return extent is None or extent.reads_as_zero


# -- comparing --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Task:
    """A pair, and whether its bytes must be read."""

    part: Part
    must_read: bool


class _Comparer:
    """Says what can be said about pairs."""

    def __init__(self, a: View, b: View, stop: threading.Event) -> None:
        self._a, self._b = a, b
        self._stop = stop

    def settled(self, part: Part) -> _Task:
        """What the tables alone say about a pair."""
        if self._one_place(part):
            return _Task(part.same, must_read=False)
        error = next((side.error for side in (part.a, part.b) if side is not None and side.error), None)
        if error is not None:
            return _Task(replace(part, relation=Relation.UNREADABLE, error=error), must_read=False)
        if _is_zero(part.a) and _is_zero(part.b):
            return _Task(part.same, must_read=False)
        return _Task(part, must_read=True)

    def _one_place(self, part: Part) -> bool:
        """True if the bytes of both sides are stored once; that needs no key."""
        if part.a is None or part.b is None:
            return False
        place = _place(self._a, part.a)
        return place is not None and place == _place(self._b, part.b)

    def work(self, tasks: list[_Task]) -> list[Part]:
        """The parts of a batch; called in threads."""
        found: list[Part] = []
        for task in tasks:
            if self._stop.is_set():
                break
            found.extend(self._read(task.part) if task.must_read else [task.part])
        return found

    def _read(self, part: Part) -> Iterator[Part]:
        try:
            bytes_a, bytes_b = _bytes(self._a, part.a, part.guest), _bytes(self._b, part.b, part.guest)
        except Qcow2InspectError as error:
            yield from self._narrowed(part, error)
            return
        part = replace(part, was_read=True)
        if bytes_a == bytes_b:
            yield part.same
        else:
            yield from _differences(part, bytes_a, bytes_b)

    def _narrowed(self, part: Part, error: Qcow2InspectError) -> Iterator[Part]:
        """A part of which something cannot be read: in halves, as far as sectors, where the medium is to blame."""
        half = part.guest.size // 2 // NEAR * NEAR
        compressed = any(side is not None and side.kind is ClusterType.COMPRESSED for side in (part.a, part.b))
        if not half or compressed or not isinstance(error, CannotRead):
            yield replace(part, relation=Relation.UNREADABLE, error=error)
            return
        middle = GuestOffset(part.guest.start + half)
        for piece in (GuestRange(part.guest.start, middle), GuestRange(middle, part.guest.end)):
            yield from self._read(part.cut(piece))


def _place(view: View, extent: Extent) -> Hashable:
    """What two extents have in common if their stored bytes are the same; None for one without stored bytes."""
    if extent.host is None or extent.kind not in _STORED or isinstance(extent.error, Damaged):
        return None
    home: View | None = view
    for _ in range(extent.layer):
        home = getattr(getattr(home, "support", None), "backing", None)
    if home is None or isinstance(home, Window):
        return None
    support: Support | None = getattr(home, "support", None)
    file: Source = home.sources[0]
    if extent.kind is ClusterType.NORMAL and support is not None and support.data_file is not None:
        file = file if isinstance(support.data_file, Qcow2InspectError) else support.data_file
    key = None if support is None or support.cipher is None else id(support.cipher)
    return (file.identity or id(file), extent.kind, extent.host.start, extent.host.end, key)


def _bytes(view: View, extent: Extent | None, part: GuestRange) -> bytes:
    if extent is None or extent.reads_as_zero:
        return bytes(part.size)
    data = view.read_extent(extent)
    if len(data) != part.size:
        raise CannotRead(f"guest {part}: the file became shorter while it was read")
    return data


def _differences(part: Part, bytes_a: bytes, bytes_b: bytes) -> Iterator[Part]:
    """The ranges of a part that differ, and those between."""
    import numpy as np

    unequal = np.frombuffer(bytes_a, np.uint8) != np.frombuffer(bytes_b, np.uint8)
    where = np.flatnonzero(unequal)
    gaps = np.flatnonzero(where[1:] - where[:-1] > NEAR)
    firsts, lasts = where[np.r_[0, gaps + 1]].tolist(), where[np.r_[gaps, len(where) - 1]].tolist()
    done = 0
    for first, last in zip(firsts, lasts, strict=True):
        if first > done:
            yield part.inside(done, first).same
        count = int(np.count_nonzero(unequal[first : last + 1]))
        yield replace(part.inside(first, last + 1), relation=Relation.DIFFERENT, differing=count)
        done = last + 1
    if done < part.guest.size:
        yield part.inside(done, part.guest.size).same


# -- batches ----------------------------------------------------------------------------------------------------


def _batches(tasks: Iterable[_Task]) -> Iterator[list[_Task]]:
    """Tasks in groups that take some milliseconds each."""
    batch: list[_Task] = []
    load = 0
    for task in _pieces(tasks):
        batch.append(task)
        load += task.part.guest.size if task.must_read else 0
        if load >= _LOAD or len(batch) >= _MOST_PAIRS:
            yield batch
            batch, load = [], 0
    if batch:
        yield batch


def _pieces(tasks: Iterable[_Task]) -> Iterator[_Task]:
    for task in tasks:
        guest = task.part.guest
        if not task.must_read or guest.size <= _LOAD:
            yield task
            continue
        for start in range(guest.start, guest.end, _LOAD):
            piece = GuestRange(GuestOffset(start), GuestOffset(min(start + _LOAD, guest.end)))
            yield _Task(task.part.cut(piece), must_read=True)


def _told(results: Iterable[list[Part]], progress: Progress) -> Iterator[Part]:
    for parts in results:
        yield from parts
        progress.advance(sum(part.guest.size for part in parts))
