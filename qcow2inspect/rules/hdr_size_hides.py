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
from qcow2inspect.rules.base import places_rule
from qcow2inspect.survey.hidden import find_hidden

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:
    if any(obstacle.blocks_reading for obstacle in survey.image.obstacles):
        return
    hidden = find_hidden(survey)
    if not any(snapshot.vm_state_size for snapshot in survey.image.snapshots):
        for index in hidden.l1_index:
            yield f"L1[{index}]", f"L1[{index}] maps clusters behind the end of the disk"
    for index in hidden.tail:
        path = f"L1[{hidden.tail_l1_index}].L2[{index}]"
        yield path, f"{path} maps a cluster behind the end of the disk"


RULE = places_rule(
    __name__,
    "QCOW-HDR-SIZE-HIDES",
    Severity.ERROR,
    Category.FORENSIC,
    find=_find,
    spec="L1 table",
    needs_tables=True,
)
