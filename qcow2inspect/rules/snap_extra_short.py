"""A snapshot table entry lacks its disk size.

In a version 3 image every snapshot has at least 16 bytes of extra data: the size of its VM state and the size of its
disk. Without them the size of the disk at that moment is unknown; the present size is taken.

What else could explain it: a snapshot that was made when the image was of version 2, by an old program.

QEMU opens the image and takes the present size; qemu-img check counts a corruption ("snapshot table entry is
incomplete") and can repair it.
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

    if survey.image.header.version < 3:
        return
    for index, snapshot in snapshots_of(survey.image):
        if snapshot.extra_size < 16:
            what = f"snapshot {snapshot.title} has {snapshot.extra_size} bytes of extra data; version 3 needs 16"
            yield f"snap[{index}].extra_data_size", what


RULE = places_rule(
    __name__, "QCOW-SNAP-EXTRA-SHORT", Severity.WARNING, Category.CORRUPTION, find=_find, spec="Snapshots"
)
