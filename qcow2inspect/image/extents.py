"""What the guest disks of all versions do with their extents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.view import Extent
from qcow2inspect.units import GuestOffset, GuestRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qcow2inspect.image.view import View

__all__ = ["ABSENT", "inside", "is_absent", "joined", "one_layer_down", "one_layer_up", "through"]

ABSENT = (ClusterType.UNALLOCATED, ClusterType.UNALLOCATED_ALLOC)
"""Cluster types that say: look into the file behind."""

_REACH = 4 << 20
"""Guest bytes: to go past the extents of so many costs about as much as to ask for those behind them."""


def is_absent(extent: Extent) -> bool:
    """True if the bytes lie behind the image, and that can be looked into or is known to be empty."""
    return extent.kind in ABSENT and extent.error is None


def one_layer_up(extent: Extent, start: int, end: int, through: Extent) -> Extent:
    """The part ``[start, end)`` of an extent of the backing view as the overlay sees it.

    Args:
        extent: of the backing view.
        start: first byte, inside of the extent.
        end: one past the last byte.
        through: the extent of the overlay; what is odd about the way there is not forgotten.
    """
    low, high = extent.host_start, extent.host_end
    if high - low == extent.end - extent.start and extent.kind is not ClusterType.COMPRESSED:
        low += start - extent.start
        high = low + end - start
    past_end = extent.past_end or through.past_end
    return Extent(start, end, extent.kind, low, high, extent.layer + 1, extent.error, past_end, extent.absent)


def one_layer_down(extent: Extent) -> Extent:
    """An extent of a backing view as that view has it."""
    return extent._replace(layer=extent.layer - 1)


def inside(part: GuestRange, extents: Iterable[Extent]) -> Iterator[Extent]:
    """The extents, those that stick out of ``part`` cut; none is empty."""
    start, end = int(part.start), int(part.end)
    for extent in extents:
        if extent.start >= start and extent.end <= end:
            if extent.end > extent.start:
                yield extent
        elif extent.start < end and extent.end > start:
            yield extent.cut(max(extent.start, start), min(extent.end, end))


def through(own: Iterable[Extent], backing: View, end: int) -> Iterator[Extent]:
    """The extents of an overlay, with what lies behind in the place of what it does not hold.

    Args:
        own: the overlay's extents, in order.
        backing: what lies behind; nothing does past its end.
        end: guest offset of the end of the overlay's extents.
    """
    behind = _Behind(backing, min(end, backing.size))
    for extent in own:
        if is_absent(extent):
            yield from behind.seen(extent)
        else:
            yield extent


class _Behind:
    """The extents of a backing view, asked for once and used from left to right.

    To ask anew for each range that an overlay lacks would mean a look at the same tables each time.
    """

    def __init__(self, backing: View, end: int) -> None:
        self._backing = backing
        self._end = end
        self._rest: Iterator[Extent] = iter(())
        self._now: Extent | None = None

    def seen(self, own: Extent) -> Iterator[Extent]:
        """What lies behind an extent that the overlay does not hold; itself past the end of the backing view."""
        at, stop = own.start, min(own.end, self._end)
        while at < stop:
            below = self._now
            if below is None or at >= below.end or at < below.start:
                below = self._around(at, stop)
            end = min(below.end, stop)
            yield one_layer_up(below, at, end, own)
            at = end
        if at < own.end:
            yield own.cut(at, own.end)

    def _around(self, at: int, stop: int) -> Extent:
        """The extent around ``at``; a table that cannot be read matters only if it is needed before ``stop``."""
        try:
            return self._forward(at) or self._asked(at, self._end)
        except Qcow2InspectError:
            return self._asked(at, stop)

    def _forward(self, at: int) -> Extent | None:
        """Go on to the extent around ``at``; None if that is too far."""
        if self._now is None or at - self._now.end > _REACH:
            return None
        while self._now is not None and self._now.end <= at:
            self._now = next(self._rest, None)
        return self._now

    def _asked(self, at: int, end: int) -> Extent:
        self._rest = iter(self._backing.extents(GuestRange(GuestOffset(at), GuestOffset(end))))
        self._now = next(self._rest)
        return self._now


def joined(extents: Iterable[Extent]) -> Iterator[Extent]:
    """The extents; those that continue each other, in the guest and in the host file, as one."""
    last: Extent | None = None
    for extent in extents:
        if last is None:
            last = extent
        elif last.host_end == extent.host_start and last.kind is extent.kind and _share_fate(last, extent):
            last = last._replace(end=extent.end, host_end=extent.host_end)
        else:
            yield last
            last = extent
    if last is not None:
        yield last


def _share_fate(last: Extent, new: Extent) -> bool:
    return last.kind is not ClusterType.COMPRESSED and last.past_end == new.past_end and last.error is new.error
