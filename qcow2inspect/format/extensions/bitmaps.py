"""The pointer to the bitmap directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.format.extensions.base import SPEC, HeaderExtension
from qcow2inspect.layout.structure import Structure, u32, u64
from qcow2inspect.units import HostOffset, exact_size

if TYPE_CHECKING:
    from qcow2inspect.layout.node import Node

__all__ = ["Bitmaps", "BitmapsPointer"]


class BitmapsPointer(Structure):
    """The data of the bitmaps extension. Spec: Bitmaps extension."""

    nb_bitmaps: int = u32(0, "Number of bitmaps")
    reserved: int = u32(4, "Reserved; must be zero")
    bitmap_directory_size: int = u64(8, "Length of the bitmap directory in bytes", show=exact_size)
    bitmap_directory_offset: HostOffset = u64(16, "Where the bitmap directory starts")


class Bitmaps(HeaderExtension):
    """Bitmaps extension. Spec: Header extensions, 0x23852875; Bitmaps."""

    MAGIC = 0x23852875
    TITLE = "bitmaps"
    DOC = "Where the directory of persistent dirty bitmaps lies in this file"

    @property
    def pointer(self) -> BitmapsPointer | None:
        """Count, size and offset of the directory; None if the data is too short."""
        return BitmapsPointer.parse(self.data) if len(self.data) >= BitmapsPointer.SIZE else None

    @property
    def shown(self) -> str:
        """Number of bitmaps and where the directory lies."""
        pointer = self.pointer
        return f"{pointer.nb_bitmaps:,} at {pointer.bitmap_directory_offset}" if pointer else super().shown

    def data_nodes(self, path: str) -> list[Node]:
        """Count, size and offset of the directory."""
        if self.pointer is None:
            return super().data_nodes(path)
        return self.pointer.nodes(int(self.data_at), path, "extension", SPEC)
