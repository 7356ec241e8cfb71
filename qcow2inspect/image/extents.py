"""What the guest disks of all versions do with their extents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.units import GuestOffset, GuestRange, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.view import Extent, View

__all__ = ["ABSENT", "behind", "is_absent", "joined", "one_layer_up"]

ABSENT = (ClusterType.UNALLOCATED, ClusterType.UNALLOCATED_ALLOC)
"""Cluster types that say: look into the file behind."""


def is_absent(extent: Extent) -> bool:
    """True if the bytes lie behind the image, and that can be looked into or is known to be empty."""
    return extent.kind in ABSENT and extent.error is None


def one_layer_up(extent: Extent, through: Extent) -> Extent:
    """An extent of the backing view as the overlay sees it; what is odd about the way there is not forgotten."""
    return replace(extent, layer=extent.layer + 1, past_end=extent.past_end or through.past_end)


def behind(own: Extent, backing: View) -> Iterator[Extent]:
    """What the files behind an image say about a range that the image does not hold; nothing past their end."""
    border = GuestOffset(min(max(own.guest.start, backing.size), own.guest.end))
    if border > own.guest.start:
        for extent in backing.extents(GuestRange(own.guest.start, border)):
            yield one_layer_up(extent, own)
    if border < own.guest.end:
        yield own.cut(GuestRange(border, own.guest.end))


def joined(extents: Iterator[Extent]) -> Iterator[Extent]:
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
    if (last.kind, last.past_end) != (new.kind, new.past_end) or new.kind is ClusterType.COMPRESSED:
        return False
    if last.error is not new.error:
        return False
    if last.host is None or new.host is None:
        return last.host is new.host
    return last.host.end == new.host.start
