"""The disk has no bytes.

The size field is less than one sector, so that the guest sees an empty disk. What the tables hold can be looked at in
the structure, but is on no disk.

What else could explain it: an image that was made empty and was never given a size; a size field that was cleared, with
the L1 table still there.

QEMU opens the image and converts it to an empty file without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    if image.header.size >= SECTOR:
        return None
    return f"the disk has no sector: the size field is {int(image.header.size):,}"


RULE = header_rule(__name__, "QCOW-HDR-SIZE-ZERO", Severity.NOTE, Category.FORENSIC, field="size", says=_says)
