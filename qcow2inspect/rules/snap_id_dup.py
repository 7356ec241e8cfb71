"""Two snapshots have the same id.

The id tells snapshots apart. With two of the same id only one of them can be reached by it; the other one is easily
overlooked.

What else could explain it: a damaged or copied snapshot table entry; a program that numbers snapshots by their count.

QEMU takes the first snapshot with the id; qemu-img check does not notice.
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

    seen: set[bytes] = set()
    for index, snapshot in snapshots_of(survey.image):
        if snapshot.id and snapshot.id in seen:
            yield f"snap[{index}].id", f"another snapshot has the id of snapshot {snapshot.title}"
        seen.add(snapshot.id)


RULE = places_rule(__name__, "QCOW-SNAP-ID-DUP", Severity.WARNING, Category.FORENSIC, find=_find, spec="Snapshots")
