"""The L1 table reaches past the end of the file.

The entries that the file does not hold read as zeros, which means unallocated: guest data disappears without an error.

What else could explain it: the image file was cut off, for example by an unfinished copy or a full disk.

QEMU reads zeros; qemu-img check counts a corruption.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    end = image.header.l1_table_offset + image.header.l1_size * 8
    if end <= image.end:
        return None
    return f"the L1 table ends at {end:#x}, the file at {image.end}: missing entries read as unallocated"


RULE = header_rule(
    __name__,
    "QCOW-HDR-L1-EOF",
    Severity.ERROR,
    Category.CORRUPTION,
    field="l1_table_offset",
    says=_says,
    spec="L1 table",
)
