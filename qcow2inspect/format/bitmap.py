"""Persistent dirty bitmaps: directory entries and bitmap table entries.

Spec: Bitmaps.
"""

from __future__ import annotations

from dataclasses import dataclass

from qcow2inspect.layout.node import Node
from qcow2inspect.layout.openenum import OpenEnum
from qcow2inspect.layout.structure import Structure, printable, u8, u16, u32, u64
from qcow2inspect.layout.word import R, Word, flag, offset, reserved
from qcow2inspect.units import HostOffset, HostRange, exact_size

__all__ = ["Bitmap", "BitmapDirectoryEntry", "BitmapFlags", "BitmapTableEntry", "BitmapType", "read_bitmap"]


class BitmapFlags(Word[R]):
    """Flags of a bitmap. Spec: Bitmap directory, flags."""

    WIDTH = 32

    unknown = reserved(3, 31)
    extra_data_compatible = flag(2, "Unknown extra data may be ignored by a reader")
    auto = flag(1, "The bitmap is enabled: it tracks writes as soon as the image is opened for writing")
    in_use = flag(0, "The bitmap was not saved correctly and cannot be trusted")


class BitmapType(OpenEnum):
    """Kind of a bitmap. Spec: Bitmap directory, type."""

    DIRTY_TRACKING = 1


class BitmapDirectoryEntry(Structure):
    """The fixed part of a bitmap directory entry; extra data and name follow. Spec: Bitmap directory."""

    bitmap_table_offset: HostOffset = u64(0, "Where the bitmap table starts")
    bitmap_table_size: int = u32(8, "Number of entries of the bitmap table")
    flags: BitmapFlags[int] = u32(12, "Flags of the bitmap")
    type: BitmapType = u8(16, "Kind of bitmap; 1 is a dirty tracking bitmap")
    granularity_bits: int = u8(
        17, "One bit stands for 1 << granularity_bits guest bytes", show=lambda n: f"{n} ({_granularity(n)})"
    )
    name_size: int = u16(18, "Length of the name in bytes")
    extra_data_size: int = u32(20, "Length of the extra data in bytes")


class BitmapTableEntry(Word[R]):
    """An entry of a bitmap table: where one cluster of bitmap data lies. Spec: Bitmap table."""

    reserved_high = reserved(56, 63)
    bitmap_cluster_offset = offset(9, 55, HostOffset, "Where the bitmap data lies; 0 if bit 0 says its value")
    reserved_low = reserved(1, 8)
    all_ones = flag(0, "Without an offset: all bits of this cluster are one (else all are zero)")


@dataclass(frozen=True, slots=True)
class Bitmap:
    """One entry of the bitmap directory; its fixed part is taken apart when it is looked at.

    Attributes:
        at: host offset of the entry.
        fixed: the bytes of its fixed part.
        name: name, raw bytes.
    """

    at: HostOffset
    fixed: bytes
    name: bytes

    @property
    def entry(self) -> BitmapDirectoryEntry:
        """The fixed part."""
        return BitmapDirectoryEntry.parse(self.fixed)

    @property
    def size(self) -> int:
        """Bytes of the entry, its padding included."""
        extra = int.from_bytes(self.fixed[-4:], "big")
        return -(-(BitmapDirectoryEntry.SIZE + extra + len(self.name)) // 8) * 8

    def nodes(self, path: str) -> list[Node]:
        """The fields of the entry; ``path`` is its address (``bitmap[0]``)."""
        nodes = self.entry.nodes(int(self.at), path, "bitmap", "Bitmaps")
        where = HostRange.at(self.at + BitmapDirectoryEntry.SIZE + self.entry.extra_data_size, len(self.name))
        nodes.append(Node("name", f"{path}.name", where, printable(self.name), "Name", "Bitmaps", "bitmap"))
        return nodes


def read_bitmap(data: bytes, start: int, at: HostOffset) -> Bitmap:
    """Read the directory entry at ``data[start:]``, which lies at host offset ``at``.

    Raises:
        ValueError: ``data`` ends inside the entry.
    """
    fixed_end = start + BitmapDirectoryEntry.SIZE
    fixed = data[start:fixed_end]
    entry = BitmapDirectoryEntry.parse(fixed)
    name_at = fixed_end + entry.extra_data_size
    if name_at + entry.name_size > len(data):
        raise ValueError(f"the bitmap directory entry at {at} runs past its directory")
    return Bitmap(at, fixed, data[name_at : name_at + entry.name_size])


def _granularity(bits: int) -> str:
    return exact_size(1 << bits) if bits < 64 else "impossible"
