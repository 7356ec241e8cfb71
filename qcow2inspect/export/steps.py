"""The extents of a view in steps: pieces of work of a few milliseconds each, in the order of the guest.

Damage stays where it is: a table that cannot be read makes the bytes it maps unreadable and no others.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.units import GuestOffset, GuestRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.progress import Progress

__all__ = ["COPY", "LOAD", "Step", "extents_of", "steps"]

LOAD = 1 << 20
"""Bytes that one step takes into memory."""
COPY = 8 << 20
"""Bytes that one step has the kernel copy."""
_ZEROS = 64 << 20
_MOST_EXTENTS = 256
_FIRST_WINDOW = 1 << 30
_LARGEST_GRAIN = 1 << 26
_PATIENCE = 0.03


@dataclass(slots=True)
class Step:
    """Extents that follow each other.

    Attributes:
        start: first byte of the view.
        end: one past the last byte.
        extents: what covers them.
        work: bytes that must be written or inflated.
    """

    start: int
    end: int
    extents: list[Extent]
    work: int


def extents_of(view: View, within: GuestRange, progress: Progress) -> Iterator[Extent]:
    """The extents of a part of a view; what cannot even be looked up is an extent that says why.

    The view is asked for windows that take some milliseconds each, so that a person who stops does not wait.

    Raises:
        Cancelled: the user asked to stop.
    """
    grain = _grain(view)
    at, size = int(within.start), max(_FIRST_WINDOW, grain)
    while at < within.end:
        progress.advance(0)
        end = min((at + size) // grain * grain, int(within.end))
        began = time.monotonic()
        yield from _window(view, GuestRange(GuestOffset(at), GuestOffset(end)), grain)
        at = end
        size = size * 2 if time.monotonic() - began < _PATIENCE else max(grain, size // 2)


def _grain(view: View) -> int:
    """Guest bytes of the L2 table that maps the fewest, of all layers."""
    from qcow2inspect.image.disk import Disk

    spans, below = [_LARGEST_GRAIN], view
    while isinstance(below, Disk):
        spans.append(below.image.geometry.l2_span)
        behind = below.support.backing
        if behind is None or isinstance(behind, Qcow2InspectError):
            break
        below = behind
    return min(spans)


def _window(view: View, window: GuestRange, grain: int) -> Iterator[Extent]:
    """The extents of a window; in halves if a table in it cannot be read."""
    from qcow2inspect.image.view import Extent

    waiting = [window]
    while waiting:
        part = waiting.pop()
        done = part.start
        try:
            for extent in view.extents(part):
                done = extent.guest.end
                yield extent
        except Qcow2InspectError as error:
            first, last = done // grain, -(-part.end // grain)
            if last - first == 1:
                yield Extent(GuestRange(done, part.end), ClusterType.INVALID, error=error)
                continue
            middle = GuestOffset((first + last) // 2 * grain)
            waiting += [GuestRange(middle, part.end), GuestRange(done, middle)]


def steps(extents: Iterable[Extent], *, in_kernel: bool, cut_zeros: bool) -> Iterator[Step]:
    """Extents grouped into steps; those that are too long for one are cut.

    Args:
        extents: in order, without gaps.
        in_kernel: plain bytes never enter this process, so more of them make a step.
        cut_zeros: zeros are work too.
    """
    batch: list[Extent] = []
    load = work = 0
    for extent in _pieces(extents, COPY if in_kernel else LOAD, cut_zeros=cut_zeros):
        batch.append(extent)
        if not extent.reads_as_zero:
            size = extent.guest.size
            work += size
            load += size // (COPY // LOAD) if in_kernel and extent.kind is ClusterType.NORMAL else size
        if load >= LOAD or len(batch) >= _MOST_EXTENTS or (cut_zeros and extent.guest.size >= _ZEROS):
            yield Step(int(batch[0].guest.start), int(extent.guest.end), batch, work)
            batch, load, work = [], 0, 0
    if batch:
        yield Step(int(batch[0].guest.start), int(batch[-1].guest.end), batch, work)


def _pieces(extents: Iterable[Extent], largest: int, *, cut_zeros: bool) -> Iterator[Extent]:
    for extent in extents:
        if extent.reads_as_zero:
            limit = _ZEROS if cut_zeros else extent.guest.size
        else:
            limit = extent.guest.size if extent.kind is ClusterType.COMPRESSED else largest
        if extent.guest.size <= limit:
            yield extent
            continue
        for start in range(extent.guest.start, extent.guest.end, limit):
            yield extent.cut(GuestRange(GuestOffset(start), GuestOffset(min(start + limit, extent.guest.end))))
