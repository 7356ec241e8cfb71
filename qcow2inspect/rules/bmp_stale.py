"""The bitmaps are out of date.

The image has persistent dirty bitmaps, but the autoclear feature bit that vouches for them is clear: a program that
does not know bitmaps wrote to the image since. What they say about written ranges is incomplete.

What else could explain it: an image of version 2, which has no feature bits; a bit that was cleared by hand.

QEMU ignores the bitmaps with a warning, and leaks their clusters when it next writes the header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.extensions.bitmaps import Bitmaps
from qcow2inspect.rules.base import places_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    image = survey.image
    extension = image.extension(Bitmaps)
    if extension is not None and not image.header.autoclear_features.bitmaps:
        index = image.extensions.extensions.index(extension)
        what = "the image has bitmaps, but was written by a program that does not know them: they are out of date"
        yield f"ext[{index}].magic", what


RULE = places_rule(__name__, "QCOW-BMP-STALE", Severity.WARNING, Category.FORENSIC, find=_find, spec="Bitmaps")
