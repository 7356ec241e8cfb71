"""The L1 table of a snapshot is not where a table can be.

Its offset is zero, no multiple of the cluster size, or beyond any possible file. The disk of this snapshot cannot be
found through it; the active disk and the other snapshots do not depend on it.

What else could explain it: a damaged entry of the snapshot table.

QEMU opens the image and fails to load the snapshot ("Snapshot L1 table offset invalid"); at offset zero it takes the
header for the L1 table. qemu-img check counts a corruption.
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

    geometry = survey.image.geometry
    for index, snapshot in snapshots_of(survey.image):
        at, size = snapshot.entry.l1_table_offset, snapshot.entry.l1_size
        if not geometry.is_aligned(at) or at + 8 * size >> 63 or (size and not at):
            what = f"the L1 table of snapshot {snapshot.title} lies at {at}, where no table can be"
            yield f"snap[{index}].l1_table_offset", what


RULE = places_rule(
    __name__, "QCOW-SNAP-L1-UNALIGNED", Severity.ERROR, Category.CORRUPTION, find=_find, spec="Snapshots"
)
