"""A snapshot has no id.

Every snapshot has an id, usually a number, that tells it apart from the others. Without one it can be reached by its
name only, and without a name not at all.

What else could explain it: a damaged snapshot table entry.

QEMU lists the snapshot with an empty id and finds it by its name; qemu-img check does not notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.layout.structure import brief
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.snapshots import snapshots_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    for index, snapshot in snapshots_of(survey.image):
        if not snapshot.id.partition(b"\0")[0]:
            what = f"snapshot {index:,} of the table, named “{brief(snapshot.name)}”, has no id"
            yield f"snap[{index}].id_size", what


RULE = places_rule(__name__, "QCOW-SNAP-ID-EMPTY", Severity.WARNING, Category.FORENSIC, find=_find, spec="Snapshots")
