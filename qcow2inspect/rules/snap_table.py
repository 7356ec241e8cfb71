"""The snapshot table holds fewer snapshots than the header counts.

The file ends inside the snapshot table, or zeros stand where entries should be. The active disk does not depend on
them, and the L1 tables of the lost entries may still be in the file.

What else could explain it: the file was cut off; a damaged count in the header.

QEMU reads the missing entries as zeros and lists snapshots without id and name; qemu-img check counts a corruption for
each ("snapshot table entry is incomplete").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.snapshots import snapshots_of
from qcow2inspect.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    header, image = survey.image.header, survey.image
    found = [snapshot for _, snapshot in snapshots_of(image)]
    refused = {obstacle.code for obstacle in image.obstacles}
    if len(found) == header.nb_snapshots or refused & _OTHERS or header.snapshots_offset >= image.end:
        return
    what = f"the header counts {counted(header.nb_snapshots, 'snapshot')}"
    yield "hdr.nb_snapshots", f"{what}, the snapshot table holds {len(found):,}"


_OTHERS = {"QCOW-SNAP-EXTRA-HUGE", "QCOW-HDR-SNAP-COUNT"}


RULE = places_rule(
    __name__, "QCOW-SNAP-TABLE-OVERRUN", Severity.ERROR, Category.CORRUPTION, find=_find, spec="Snapshots"
)
