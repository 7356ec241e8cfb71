"""A snapshot has another disk size than the image.

When the snapshot was made the disk was larger or smaller than it is now. The disk of the snapshot has the size that the
snapshot states, whatever the header says now.

What else could explain it: nothing unusual; the disk was resized since.

QEMU sets the size back when it applies the snapshot, but qemu-img convert -l writes the snapshot with the present size
of the disk: cut off, or with zeros at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.snapshots import snapshots_of
from qcow2inspect.units import exact_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    size = survey.image.header.size
    for index, snapshot in snapshots_of(survey.image):
        if snapshot.disk_size is not None and snapshot.disk_size != size:
            what = f"the disk of snapshot {snapshot.title} has {exact_size(snapshot.disk_size)}"
            yield f"snap[{index}].extra.disk_size", f"{what}, that of the image {exact_size(size)}"


RULE = places_rule(__name__, "QCOW-SNAP-DISKSIZE", Severity.NOTE, Category.FORENSIC, find=_find, spec="Snapshots")
