"""A bitmap has bits behind the end of the disk.

The last cluster of bitmap data has room for more bits than the disk has. The specification wants zeros there. Bits that
are set stem from a disk that was larger, or were put there.

What else could explain it: a program that fills the whole cluster with ones to mark everything.

QEMU ignores these bits when it loads the bitmap and writes zeros when it saves it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.bitmap import BitmapTableEntry
from qcow2inspect.image.guard_bitmaps import bits_of
from qcow2inspect.layout.structure import brief
from qcow2inspect.rules.base import places_rule
from qcow2inspect.survey.unseen import content_range
from qcow2inspect.units import HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.format.bitmap import Bitmap
    from qcow2inspect.image.image import Image
    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    image = survey.image
    for bitmap in image.bitmaps:
        where = _tail(image, bitmap)
        found = content_range(image, where) if where else None
        if found:
            what = f"the data of bitmap “{brief(bitmap.name)}” goes on behind the end of the disk"
            yield found, f"{what}: {found.size:,} bytes up to {found.end} are not zero"


def _tail(image: Image, bitmap: Bitmap) -> HostRange | None:
    """The whole bytes behind the last bit that the disk needs, in the last cluster of bitmap data."""
    size, entry = image.geometry.cluster_size, bitmap.entry
    used = -(-bits_of(image, bitmap) // 8)
    last = (used - 1) // size
    if entry.granularity_bits > 63 or not 0 <= last < entry.bitmap_table_size:
        return None
    raw = int.from_bytes(image.read(entry.bitmap_table_offset + 8 * last, 8), "big")
    at: HostOffset = BitmapTableEntry(raw).bitmap_cluster_offset
    where = HostRange(HostOffset(at + used - last * size), HostOffset(at + size))
    return where if at and image.geometry.is_aligned(at) and at < image.end else None


RULE = places_rule(
    __name__, "QCOW-BMP-TAILBITS", Severity.NOTE, Category.FORENSIC, find=_find, spec="Bitmaps", needs_tables=True
)
