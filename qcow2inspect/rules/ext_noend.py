"""The header extensions have no end marker.

The area of the header extensions is full to its last byte, without the record of kind 0 that ends the list. All records
can be read; whether there should be more of them cannot be told.

What else could explain it: a program that relies on the end of the area, which the backing file name or the end of the
first cluster marks.

QEMU reads the records up to the end of the area and finds nothing wrong.
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

    area, image = survey.image.extensions, survey.image
    if area.where and area.where.end <= image.end and area.end_marker is None and area.overrun is None:
        what = f"the header extensions end at {area.where.end} without an end marker"
        yield (f"ext[{len(area.extensions) - 1}]" if area.extensions else area.where), what


RULE = places_rule(__name__, "QCOW-EXT-NOEND", Severity.NOTE, Category.FORENSIC, find=_find, spec="Header extensions")
