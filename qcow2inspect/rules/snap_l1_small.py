"""The L1 table of a snapshot is too small for its disk.

The disk of the snapshot needs more L1 entries than its table has. The rest of it reads as unallocated, so that the end
of the disk is missing without a sign.

What else could explain it: a damaged entry of the snapshot table, or a disk size in it that was raised.

QEMU takes missing entries as unallocated and says nothing; qemu-img check sees at most the clusters that are lost, as
leaks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.snapshots import snapshots_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    image = survey.image
    for index, snapshot in snapshots_of(image):
        size = image.header.size if snapshot.disk_size is None else snapshot.disk_size
        needed = image.geometry.l1_entries(size)
        if snapshot.entry.l1_size < needed:
            what = f"the L1 table of snapshot {snapshot.title} has {snapshot.entry.l1_size:,} entries"
            yield f"snap[{index}].l1_size", f"{what}; its disk needs {needed:,}"


RULE = places_rule(__name__, "QCOW-SNAP-L1-SMALL", Severity.ERROR, Category.CORRUPTION, find=_find, spec="Snapshots")
