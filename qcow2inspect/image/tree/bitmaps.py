"""The persistent dirty bitmaps as nodes."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from qcow2inspect.format.bitmap import BitmapTableEntry
from qcow2inspect.image.table import Table
from qcow2inspect.layout.node import Lazy, Node
from qcow2inspect.layout.structure import printable
from qcow2inspect.units import HostRange, counted

if TYPE_CHECKING:
    from qcow2inspect.format.bitmap import Bitmap
    from qcow2inspect.image.image import Image

__all__ = ["BitmapNodes"]


class BitmapNodes:
    """The bitmap directory, its bitmaps and their tables as nodes.

    Args:
        image: the image.
    """

    def __init__(self, image: Image) -> None:
        self._image = image

    @cached_property
    def directory(self) -> tuple[Node, ...]:
        """The bitmap directory; empty if there is no bitmap."""
        found = self._image.bitmaps
        if not found:
            return ()
        return (
            Node(
                name="Bitmaps",
                path="bitmap",
                where=HostRange.at(found[0].at, found[-1].at + found[-1].size - found[0].at),
                shown=f"{len(found):,}",
                doc="The bitmap directory: persistent dirty bitmaps, each a log of written guest ranges",
                spec="Bitmaps",
                kind="bitmap",
                children=lambda: Lazy(len(found), self.bitmap),
            ),
        )

    def bitmap(self, index: int) -> Node:
        """Entry ``index`` of the bitmap directory; its children are its fields and its bitmap table."""
        bitmap = self._image.bitmaps[index]
        path = f"bitmap[{index}]"
        return Node(
            name=f"[{index}]",
            path=path,
            where=HostRange.at(bitmap.at, bitmap.size),
            shown=printable(bitmap.name),
            doc="A persistent dirty bitmap",
            spec="Bitmaps",
            kind="bitmap",
            target=bitmap.entry.bitmap_table_offset or None,
            target_path=f"{path}.table",
            children=lambda: (*bitmap.nodes(path), self.table(index)),
        )

    def table(self, index: int) -> Node:
        """The bitmap table of a bitmap; its children are its entries."""
        table = self.entries(self._image.bitmaps[index])
        path = f"bitmap[{index}].table"
        return Node(
            name="bitmap table",
            path=path,
            where=table.range,
            shown=counted(len(table), "entry", "entries"),
            doc="Where the data of the bitmap lies",
            spec="Bitmaps",
            kind="bitmap",
            children=lambda: Lazy(len(table), lambda entry: self.entry(table, path, entry)),
        )

    def entries(self, bitmap: Bitmap) -> Table[BitmapTableEntry[int]]:
        """The bitmap table of a bitmap."""
        entry = bitmap.entry
        return Table(entry.bitmap_table_offset, entry.bitmap_table_size, BitmapTableEntry, self._image.read)

    def entry(self, table: Table[BitmapTableEntry[int]], path: str, index: int) -> Node:
        """Entry ``index`` of a bitmap table, whose address is ``path``."""
        entry, where = table[index], table.where(index)
        at = entry.bitmap_cluster_offset
        return Node(
            name=f"[{index}]",
            path=f"{path}[{index}]",
            where=where,
            shown=f"→ {at}" if at else "all ones" if entry.all_ones else "all zeros",
            doc="Where one cluster of bitmap data lies",
            spec="Bitmaps",
            kind="bitmap",
            target=at or None,
            children=lambda: entry.nodes(int(where.start), f"{path}[{index}]", "bitmap", "Bitmaps"),
        )
