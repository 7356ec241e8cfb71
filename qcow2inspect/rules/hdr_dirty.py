"""The dirty bit is set.

With lazy refcounts a writer marks the image dirty and updates refcounts when it closes it. The bit says that this did
not happen: the virtual machine or the host stopped suddenly, or is still running. The mapping of guest data is
reliable, the refcounts are not.

What else could explain it: the image was copied while a virtual machine was using it.

QEMU repairs the refcounts when it opens the image for writing, which changes the evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    if not image.header.incompatible_features.dirty:
        return None
    return "the dirty bit is set: the image was not closed cleanly; refcounts may be wrong, the mapping is right"


RULE = header_rule(
    __name__, "QCOW-HDR-DIRTY", Severity.WARNING, Category.FORENSIC, field="incompatible_features", says=_says
)
