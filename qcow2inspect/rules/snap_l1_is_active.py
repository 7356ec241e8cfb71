"""A snapshot shares the L1 table of the active disk.

The snapshot names the active L1 table as its own. It is no earlier state then: it changes with every write, and what it
kept is not reachable through it.

What else could explain it: a damaged entry of the snapshot table; its own L1 table may still be in the file.

QEMU opens the image and shows the active disk as the snapshot; qemu-img check counts corrupt refcounts.
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

    active = survey.image.header.l1_table_offset
    for index, snapshot in snapshots_of(survey.image):
        if snapshot.entry.l1_table_offset == active and active:
            what = f"snapshot {snapshot.title} has the L1 table of the active disk at {active}"
            yield f"snap[{index}].l1_table_offset", what


RULE = places_rule(
    __name__, "QCOW-SNAP-L1-IS-ACTIVE", Severity.ERROR, Category.CORRUPTION, find=_find, spec="Snapshots"
)
