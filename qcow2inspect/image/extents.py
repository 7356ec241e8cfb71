"""What the guest disks of all versions do with their extents."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.view import Extent
from qcow2inspect.units import GuestOffset, GuestRange, HostRange

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


def one_layer_up(extent: Extent, through: Extent) -> Extent:
    """An extent of the backing view as the overlay sees it; what is odd about the way there is not forgotten."""
    past_end = extent.past_end or through.past_end
    return Extent(extent.guest, extent.kind, extent.host, extent.layer + 1, extent.error, past_end, extent.absent)


def one_layer_down(extent: Extent) -> Extent:
    """An extent of a backing view as that view has it."""
    return replace(extent, layer=extent.layer - 1)


def inside(part: GuestRange, extents: Iterable[Extent]) -> Iterator[Extent]:
    """The extents, those that stick out of ``part`` cut."""
    start, end = part.start, part.end
    for extent in extents:
        if extent.guest.start >= start and extent.guest.end <= end:
            yield extent
        else:
            yield extent.cut(extent.guest.clip(start, end))


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
        at, stop = own.guest.start, GuestOffset(min(own.guest.end, self._end))
        while at < stop:
            below = self._around(at, stop)
            part = GuestRange(at, min(below.guest.end, stop))
            yield one_layer_up(below.cut(part), own)
            at = part.end
        if at < own.guest.end:
            yield own.cut(GuestRange(at, own.guest.end))

    def _around(self, at: GuestOffset, stop: GuestOffset) -> Extent:
        """The extent around ``at``; a table that cannot be read matters only if it is needed before ``stop``."""
        found = None
        with suppress(Qcow2InspectError):
            found = self._forward(at) or self._asked(at, self._end)
        return found or self._asked(at, stop)

    def _forward(self, at: GuestOffset) -> Extent | None:
        """Go on to the extent around ``at``; None if that is too far."""
        if self._now is None or at - self._now.guest.end > _REACH:
            return None
        while self._now is not None and self._now.guest.end <= at:
            self._now = next(self._rest, None)
        return self._now

    def _asked(self, at: GuestOffset, end: int) -> Extent:
        self._rest = iter(self._backing.extents(GuestRange(at, GuestOffset(end))))
        self._now = next(self._rest)
        return self._now


def joined(extents: Iterable[Extent]) -> Iterator[Extent]:
    """The extents that are not empty; those that continue each other as one."""
    last: Extent | None = None
    for extent in extents:
        if not extent.guest:
            continue
        if last is not None and _continues(last, extent):
            host = HostRange(last.host.start, extent.host.end) if last.host and extent.host else None
            last = replace(last, guest=GuestRange(last.guest.start, extent.guest.end), host=host)
            continue
        if last is not None:
            yield last
        last = extent
    if last is not None:
        yield last


def _continues(last: Extent, new: Extent) -> bool:
    """True if ``new`` goes on where ``last`` ends, in the guest and in the host file."""
    if last.kind is not new.kind or last.past_end != new.past_end or new.kind is ClusterType.COMPRESSED:
        return False
    if last.error is not new.error:
        return False
    if last.host is None or new.host is None:
        return last.host is new.host
    return last.host.end == new.host.start
