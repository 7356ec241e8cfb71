"""Unknown autoclear features.

A bit of autoclear_features is set that this specification does not know: a newer program made the image. A program that
does not know it may read the image, and must clear the bit when it writes to it: the bit says that the image was not
written by such a program since. What is read here does not depend on it.

What else could explain it: a damaged header. The feature name table may name the bit.

QEMU clears the bit as soon as it opens the image for writing, which destroys this piece of evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.extensions.feature_names import FeatureNames, FeatureType
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    unknown = image.header.autoclear_features.unknown
    if not unknown:
        return None
    table = image.extension(FeatureNames)
    names = [table.name_of(FeatureType.AUTOCLEAR, bit) for bit in range(64) if unknown >> bit & 1] if table else []
    said = ", ".join(f"“{name}”" for name in names if name)
    return f"autoclear features {unknown:#x} are unknown here" + (f"; the image names them {said}" if said else "")


RULE = header_rule(
    __name__,
    "QCOW-HDR-AUTOCLEAR-UNKNOWN",
    Severity.INFO,
    Category.FORENSIC,
    field="autoclear_features",
    says=_says,
)
