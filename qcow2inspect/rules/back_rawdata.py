"""A backing file and an external data file that is a raw image.

The image says that its data file is a valid raw image by itself, and it has a backing file as well. The specification
forbids that: what the backing file adds is not in the data file, so that the data file alone is another disk than the
one that the image describes.

What else could explain it: the feature bit or the backing file name was added later by a program that did not know of
the other.

QEMU opens, checks and converts the image without a word.
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

    header = survey.image.header
    features = header.autoclear_features
    if features.raw_data_file and header.backing_file_offset and header.incompatible_features.data_file:
        what = "the external data file is said to be a raw image, and there is a backing file: the two disks differ"
        yield "hdr.autoclear_features", what


RULE = places_rule(__name__, "QCOW-BACK-RAWDATA", Severity.ERROR, Category.CORRUPTION, find=_find, spec="Header")
