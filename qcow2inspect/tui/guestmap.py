"""What every guest cluster of one state of the disk is, in the order of the guest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.windows import extents_of
from qcow2inspect.progress import Silent
from qcow2inspect.tui import clustermap
from qcow2inspect.tui.clustermap import ClusterMap, Mapped
from qcow2inspect.units import GuestRange

if TYPE_CHECKING:
    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.progress import Progress

__all__ = ["make_guest_map"]

_KINDS = {
    ClusterType.UNALLOCATED: Mapped.UNALLOCATED,
    ClusterType.ZERO_PLAIN: Mapped.ZERO_PLAIN,
    ClusterType.ZERO_ALLOC: Mapped.ZERO_ALLOC,
    ClusterType.COMPRESSED: Mapped.COMPRESSED,
    ClusterType.NORMAL: Mapped.DATA,
}


def make_guest_map(view: View, cluster_size: int, progress: Progress | None = None) -> ClusterMap:
    """The map of the bytes that one state shows.

    Args:
        view: the bytes.
        cluster_size: guest bytes of a cluster.
        progress: told how far it is.

    Raises:
        Cancelled: the user asked to stop.
    """
    import numpy as np

    clusters = -(-view.size // cluster_size)
    shift = max(0, (clusters - 1).bit_length() - clustermap.MOST.bit_length() + 1)
    unit = cluster_size << shift
    kinds = np.zeros(-(-clusters >> shift), dtype=np.uint8)
    for extent in extents_of(view, GuestRange.at(0, view.size), progress or Silent()):
        kind = _kind(extent)
        if kind and extent.guest.size:
            part = kinds[extent.guest.start // unit : (extent.guest.end - 1) // unit + 1]
            np.maximum(part, np.uint8(kind), out=part)
    return ClusterMap(kinds, unit, 1 << shift, view.size, Mapped)


def _kind(extent: Extent) -> Mapped:
    """What one extent is on the map: the worst that is known of it."""
    if extent.error is not None:
        return Mapped.UNREADABLE
    if extent.past_end or extent.absent:
        return Mapped.MISSING
    kind = _KINDS.get(extent.kind, Mapped.UNREADABLE)
    return Mapped.BACKING if extent.layer and kind in (Mapped.DATA, Mapped.COMPRESSED) else kind
