"""From any host byte to the field that owns it."""

from __future__ import annotations

import bisect
import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING

from qcow2inspect.format.geometry import MAX_L1_ENTRIES
from qcow2inspect.format.mapping import L1Entry
from qcow2inspect.format.refcount import RefcountTableEntry
from qcow2inspect.layout.node import Node
from qcow2inspect.units import HostOffset, HostRange

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.format.bitmap import Bitmap
    from qcow2inspect.format.snapshot import Snapshot
    from qcow2inspect.image.table import Table
    from qcow2inspect.image.tree import Mapping, Tree

__all__ = ["Locator"]

_LOCATED_ENTRIES = 2 * MAX_L1_ENTRIES
_LOCATED_MAPPINGS = 1024


class Locator:
    """Knows which structure owns which host byte; its indexes are made when they are first needed.

    Args:
        tree: the structure of the image.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._image = tree.image
        self._geometry = tree.image.geometry

    def locate(self, offset: HostOffset) -> Node:
        """The innermost node that owns the byte at ``offset``, or its host cluster if no structure does."""
        for find in (self._in_header, self._in_tables, self._in_l2, self._in_blocks):
            node = find(offset)
            if node is not None:
                return node
        return self._tree.cluster(offset >> self._geometry.cluster_bits)

    def _in_header(self, offset: HostOffset) -> Node | None:
        if offset >= HostOffset(self._geometry.cluster_size):
            return None
        tree = self._tree
        for node in (tree.front.header, tree.front.extensions, *tree.front.backing):
            if offset in node.where:
                return _innermost(node, offset)
        return Node(
            name="rest of the header cluster",
            path="c0",
            where=HostRange.at(0, self._geometry.cluster_size),
            doc="The first cluster belongs to the header; these bytes have no meaning and should be zero",
            spec="Header",
            kind="free",
            state="free",
        )

    def _in_tables(self, offset: HostOffset) -> Node | None:
        for mapping in self._located:
            if offset in mapping.l1.range:
                return self._tree.mapped(mapping).l1_entry((offset - mapping.l1.at) // 8)
        table = self._image.refcount_table
        if offset in table.range:
            return self._tree.refcounts.entry((offset - table.at) // 8)
        for places, make in (
            (self._image.snapshots, self._tree.snapshot),
            (self._image.bitmaps, self._tree.bitmaps.bitmap),
        ):
            index = bisect.bisect_right(places, offset, key=_place) - 1
            if index >= 0 and offset in (node := make(index)).where:
                return _innermost(node, offset)
        for node in self._tree.luks:
            if offset in node.where:
                return _innermost(node, offset)
        return self._in_bitmap_tables(offset)

    def _in_bitmap_tables(self, offset: HostOffset) -> Node | None:
        for index, bitmap in enumerate(self._image.bitmaps):
            table = self._tree.bitmaps.entries(bitmap)
            if offset in table.range:
                return self._tree.bitmaps.entry(table, f"bitmap[{index}].table", (offset - table.at) // 8)
        return None

    def _in_l2(self, offset: HostOffset) -> Node | None:
        at = offset - offset % self._geometry.cluster_size
        for mapping, offsets in zip(self._located, self._l2_offsets, strict=True):
            index = _find(offsets, at)
            if index is not None:
                return self._tree.mapped(mapping).l2_entry(index, (offset - at) // self._geometry.l2_entry_size)
        return None

    @cached_property
    def _located(self) -> tuple[Mapping, ...]:
        """The mappings whose tables :meth:`locate` knows: all, as far as a bounded memory of entries goes."""
        budget = _LOCATED_ENTRIES
        located: list[Mapping] = []
        for mapping in self._tree.mappings:
            budget -= min(len(mapping.l1), max(0, self._image.end - mapping.l1.at) // 8)
            if located and (budget < 0 or len(located) >= _LOCATED_MAPPINGS):
                break
            located.append(mapping)
        return tuple(located)

    @cached_property
    def _l2_offsets(self) -> tuple[_Index, ...]:
        return tuple(self._index(m.l1, L1Entry.l2_table_offset.mask) for m in self._located)

    def _in_blocks(self, offset: HostOffset) -> Node | None:
        at = offset - offset % self._geometry.cluster_size
        index = _find(self._block_offsets, at)
        if index is None:
            return None
        slot = (offset - at) * 8 // self._geometry.refcount_bits
        return self._tree.refcounts.count(index * self._geometry.refcount_block_entries + slot)

    @cached_property
    def _block_offsets(self) -> _Index:
        return self._index(self._image.refcount_table, RefcountTableEntry.refcount_block_offset.mask)

    def _index(self, table: Table[L1Entry[int]] | Table[RefcountTableEntry[int]], mask: int) -> _Index:
        """Where the tables lie that a table points to: sorted offsets, and the entry that points to each."""
        import numpy as np

        stored = max(0, min(len(table), (self._image.end - table.at) // 8))
        offsets = table.column(0, stored) & np.uint64(mask)
        used = np.flatnonzero(offsets)
        order = used[np.argsort(offsets[used], kind="stable")]
        return _Index(offsets[order], order)


@dataclasses.dataclass(frozen=True, slots=True)
class _Index:
    """Sorted ``uint64`` host offsets and, at the same index, the table entry that points there."""

    offsets: npt.NDArray[np.uint64]
    entries: npt.NDArray[np.intp]


def _find(index: _Index, at: int) -> int | None:
    """The first entry that points to host offset ``at``; None if there is none."""
    import numpy as np

    place = int(np.searchsorted(index.offsets, np.uint64(at)))
    if place < len(index.offsets) and int(index.offsets[place]) == at:
        return int(index.entries[place])
    return None


def _place(entry: Snapshot | Bitmap) -> HostOffset:
    return entry.at


def _innermost(node: Node, offset: HostOffset) -> Node:
    """The smallest whole-byte descendant of ``node`` that covers ``offset``."""
    while not node.is_leaf:
        below = next((child for child in node.children() if child.bits is None and offset in child.where), None)
        if below is None:
            return node
        node = below
    return node
