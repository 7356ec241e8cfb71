"""A bitmap was not saved.

The flag in_use of a bitmap is set: a program had it open for writing and did not save it. What it says is incomplete:
ranges that were written may not be marked.

What else could explain it: a virtual machine that is running, or ended suddenly; a copy of an image in use.

QEMU opens the image, shows the bitmap as inconsistent and refuses to use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.layout.structure import brief
from qcow2inspect.rules.base import places_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    for index, bitmap in enumerate(survey.image.bitmaps):
        if bitmap.entry.flags.in_use:
            what = f"the bitmap “{brief(bitmap.name)}” was not saved: it may miss what was written"
            yield f"bitmap[{index}].flags", what


RULE = places_rule(__name__, "QCOW-BMP-INUSE", Severity.WARNING, Category.FORENSIC, find=_find, spec="Bitmaps")
