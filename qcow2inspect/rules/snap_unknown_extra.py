"""A snapshot has extra data that is unknown here.

The specification has 24 bytes of extra data in a snapshot table entry; this one has more. A newer program keeps
something there, or bytes were put there by hand. What is known of the snapshot does not depend on them.

What else could explain it: a damaged length of the extra data; then id and name look wrong too.

QEMU keeps the bytes and shows them nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.snapshot import SnapshotExtra
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.snapshots import snapshots_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    for index, snapshot in snapshots_of(survey.image):
        if snapshot.extra_size > SnapshotExtra.SIZE:
            size = snapshot.extra_size - SnapshotExtra.SIZE
            what = f"snapshot {snapshot.title} has {size} bytes of unknown extra data"
            yield f"snap[{index}].unknown_extra_data", what


RULE = places_rule(__name__, "QCOW-SNAP-UNKNOWN-EXTRA", Severity.NOTE, Category.FORENSIC, find=_find, spec="Snapshots")
