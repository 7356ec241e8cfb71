"""The bitmaps feature bit is set, and there are no bitmaps.

The autoclear feature bit says that the bitmaps agree with the image, but no header extension says where they lie. If
there were any, they cannot be found through the header.

What else could explain it: a header extension that was lost when the header was written by another program.

QEMU opens the image without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.extensions.bitmaps import Bitmaps
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    if not image.header.autoclear_features.bitmaps or image.extension(Bitmaps) is not None:
        return None
    return "the feature bit for bitmaps is set, but no header extension says where they are"


RULE = header_rule(
    __name__,
    "QCOW-BMP-BIT-NOEXT",
    Severity.WARNING,
    Category.FORENSIC,
    field="autoclear_features",
    says=_says,
    spec="Bitmaps",
)
