"""Internal snapshots in an image with an external data file.

The specification forbids them: data in the data file has no refcounts, so that a write after the snapshot changes the
data of the snapshot too. What such a snapshot shows is not the disk of that moment.

What else could explain it: the feature bit for the data file was set by hand; a damaged snapshot count.

QEMU refuses to make such snapshots; it opens the image, and qemu-img check counts a corruption for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import places_rule
from qcow2inspect.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    header = survey.image.header
    if header.nb_snapshots and survey.image.has_data_file:
        what = f"{counted(header.nb_snapshots, 'internal snapshot')} in an image with an external data file"
        yield "hdr.nb_snapshots", f"{what}: later writes changed their data"


RULE = places_rule(__name__, "QCOW-DF-SNAPSHOTS", Severity.ERROR, Category.CORRUPTION, find=_find, spec="Header")
