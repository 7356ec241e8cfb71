"""The L1 table of a snapshot is too large.

A snapshot states more L1 entries than the 4,194,304 that QEMU allows. The table is read up to that number.

What else could explain it: a damaged entry of the snapshot table. The active disk does not depend on it.

QEMU opens the image and fails to load the snapshot ("Snapshot L1 table too large"); qemu-img check counts a corruption.
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

    for index, snapshot in snapshots_of(survey.image):
        if snapshot.entry.l1_size > MAX_L1_ENTRIES:
            what = f"the L1 table of snapshot {snapshot.title} has {snapshot.entry.l1_size:,} entries"
            yield f"snap[{index}].l1_size", f"{what}; the limit is {MAX_L1_ENTRIES:,}"


RULE = places_rule(__name__, "QCOW-SNAP-L1-LARGE", Severity.ERROR, Category.CORRUPTION, find=_find, spec="Snapshots")
