"""The L1 table of a snapshot lies past the end of the file.

The file ends before the L1 table of a snapshot does. What is missing reads as zeros: that part of the snapshot looks
unallocated, though it may not have been.

What else could explain it: the file was cut off; a damaged entry of the snapshot table.

QEMU loads the snapshot with zeros for what is missing; qemu-img check counts a corruption.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.geometry import MAX_L1_ENTRIES
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
        at, size = snapshot.entry.l1_table_offset, snapshot.entry.l1_size
        if size <= MAX_L1_ENTRIES and image.end < at + 8 * size < 1 << 63:
            what = f"the L1 table of snapshot {snapshot.title} ends at {at + 8 * size:#x}, the file at {image.end}"
            yield f"snap[{index}].l1_table_offset", what


RULE = places_rule(__name__, "QCOW-SNAP-L1-EOF", Severity.ERROR, Category.CORRUPTION, find=_find, spec="Snapshots")
