"""The snapshot table lies past the end of the file.

The header counts snapshots, but where their table should be there is no file any more. None of them can be listed; the
active disk does not depend on them, and their L1 tables may still be in the file.

What else could explain it: the file was cut off; a damaged offset in the header.

QEMU reads the table as zeros and lists snapshots without id and name; qemu-img check counts corruptions or leaks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import places_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    header, image = survey.image.header, survey.image
    if header.nb_snapshots and header.snapshots_offset >= image.end:
        what = f"the snapshot table lies at {header.snapshots_offset}, the file ends at {image.end}"
        yield "hdr.snapshots_offset", what


RULE = places_rule(__name__, "QCOW-SNAP-TABLE-EOF", Severity.ERROR, Category.CORRUPTION, find=_find, spec="Snapshots")
