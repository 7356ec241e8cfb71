"""The refcount table reaches past the end of the file.

The refcounts that the file does not hold read as zero: clusters in use look free, and the next writer overwrites them.
Reading guest data does not depend on it.

What else could explain it: the image file was cut off.

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
    end = image.header.refcount_table_offset + image.header.refcount_table_clusters * image.geometry.cluster_size
    if end <= image.end:
        return None
    return f"the refcount table ends at {end:#x}, the file at {image.end}: missing refcounts read as zero"


RULE = header_rule(
    __name__,
    "QCOW-HDR-RT-EOF",
    Severity.ERROR,
    Category.CORRUPTION,
    field="refcount_table_offset",
    says=_says,
    spec="Host cluster management",
)
