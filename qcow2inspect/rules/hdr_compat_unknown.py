"""Unknown compatible features.

A bit of compatible_features is set that this specification does not know: a newer program made the image. A program
that does not know it may read and write the image all the same. What is read here does not depend on it.

What else could explain it: a damaged header. The feature name table may name the bit.

QEMU ignores the bit and keeps it.
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
    unknown = image.header.compatible_features.unknown
    if not unknown:
        return None
    table = image.extension(FeatureNames)
    names = [table.name_of(FeatureType.COMPATIBLE, bit) for bit in range(64) if unknown >> bit & 1] if table else []
    said = ", ".join(f"“{name}”" for name in names if name)
    return f"compatible features {unknown:#x} are unknown here" + (f"; the image names them {said}" if said else "")


RULE = header_rule(
    __name__,
    "QCOW-HDR-COMPAT-UNKNOWN",
    Severity.INFO,
    Category.FORENSIC,
    field="compatible_features",
    says=_says,
)
