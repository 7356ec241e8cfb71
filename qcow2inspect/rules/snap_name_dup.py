"""Two snapshots have the same name.

Snapshots are usually chosen by name. With two of the same name only one of them is reached; the other one is easily
overlooked, or its content is taken for that of the first.

What else could explain it: nothing unusual; qemu-img snapshot -c makes a second snapshot of a name without asking.

QEMU takes the first snapshot with the name; qemu-img check does not notice.
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
        if snapshot.name and snapshot.name in seen:
            yield f"snap[{index}].name", f"another snapshot has the name of snapshot {snapshot.title}"
        seen.add(snapshot.name)


RULE = places_rule(__name__, "QCOW-SNAP-NAME-DUP", Severity.WARNING, Category.FORENSIC, find=_find, spec="Snapshots")
