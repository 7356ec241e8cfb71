"""Data lies behind the end of the disk.

The tables map clusters beyond the size that the header states. No guest and no conversion sees them: lowering the size
field alone removes a region from view, with its data still there.

What else could explain it: a program that shrinks disks without discarding what it cuts off; the VM state of a
snapshot, which lies behind the end of the disk and comes into the active tables when the snapshot is applied.

QEMU reads nothing behind the end, and qemu-img check finds nothing wrong with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.mapping import ClusterType, L1Entry, classify_column
from qcow2inspect.rules.base import places_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.image import Image
    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:
    image = survey.image
    if any(obstacle.blocks_reading for obstacle in image.obstacles):
        return
    needed = image.geometry.l1_entries(image.header.size)
    has_state = any(snapshot.vm_state_size for snapshot in image.snapshots)
    if not has_state:
        yield from _behind_l1(image, needed)
    if needed and needed <= len(image.l1):
        yield from _behind_l2(image, needed - 1)


def _behind_l1(image: Image, needed: int) -> Iterator[Spot]:
    """L1 entries that no part of the disk needs."""
    import numpy as np

    column = image.l1.column(needed, max(needed, min(len(image.l1), (image.end - image.l1.at) // 8)))
    for index in np.flatnonzero(column & np.uint64(L1Entry.l2_table_offset.mask)).tolist():
        yield f"L1[{needed + index}]", f"L1[{needed + index}] maps clusters behind the end of the disk"


def _behind_l2(image: Image, l1_index: int) -> Iterator[Spot]:
    """L2 entries of the last L2 table that lie wholly behind the end of the disk."""
    import numpy as np

    geometry, entry = image.geometry, image.l1[l1_index]
    clusters = -(-image.header.size // geometry.cluster_size) - l1_index * geometry.l2_entries
    at = entry.l2_table_offset
    if not at or not geometry.is_aligned(at) or at >= image.end:
        return
    table = image.l2_table(at)
    kinds = classify_column(table.column(clusters), extended_l2=table.extended, data_file=image.has_data_file)
    for index in np.flatnonzero(np.isin(kinds, _STORED)).tolist():
        path = f"L1[{l1_index}].L2[{clusters + index}]"
        yield path, f"{path} maps a cluster behind the end of the disk"


_STORED = (ClusterType.NORMAL, ClusterType.COMPRESSED, ClusterType.ZERO_ALLOC)

RULE = places_rule(
    __name__,
    "QCOW-HDR-SIZE-HIDES",
    Severity.ERROR,
    Category.FORENSIC,
    find=_find,
    spec="L1 table",
    needs_tables=True,
)
