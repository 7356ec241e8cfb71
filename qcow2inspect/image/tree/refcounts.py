"""The refcount structures as nodes."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from qcow2inspect.format.refcount import RefcountTableEntry
from qcow2inspect.image.tree.runs import entries_and_gaps, span_name
from qcow2inspect.layout.node import Lazy, Node
from qcow2inspect.units import HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qcow2inspect.image.image import Image

__all__ = ["RefcountNodes"]


class RefcountNodes:
    """The refcount table, its blocks and their counts as nodes.

    Args:
        image: the image.
    """

    def __init__(self, image: Image) -> None:
        self._image = image
        self._geometry = image.geometry

    @cached_property
    def table(self) -> Node:
        """The refcount table; its children are the entries in use and the runs of unused ones."""
        table = self._image.refcount_table
        return Node(
            name="Refcounts",
            path="rt",
            where=table.range,
            shown=f"{self._geometry.refcount_bits}-bit, {len(table):,} table entries",
            doc="The refcount table: where the refcount blocks lie",
            spec="Host cluster management",
            kind="refcount",
            children=self._children,
        )

    def _children(self) -> Sequence[Node]:
        table = self._image.refcount_table
        stored = max(0, min(len(table), (self._image.end - table.at) // 8))
        column = table.column(0, stored)
        return entries_and_gaps(column != 0, len(table), self.entry, self._gap)

    def _gap(self, start: int, stop: int) -> Node:
        table = self._image.refcount_table
        return Node(
            name=span_name(start, stop),
            path=f"rt[{start}]",
            where=HostRange.at(table.at + start * 8, (stop - start) * 8),
            shown="unused",
            doc="Refcount table entries without a block: all their clusters have refcount 0",
            spec="Host cluster management",
            kind="refcount",
            state="unallocated",
        )

    def entry(self, index: int) -> Node:
        """Entry ``index`` of the refcount table; its children are its bit fields and the refcount block."""
        table = self._image.refcount_table
        entry, where, path = table[index], table.where(index), f"rt[{index}]"
        at = entry.refcount_block_offset
        trouble = at and (not self._geometry.is_aligned(at) or at >= self._image.end)

        def children() -> Sequence[Node]:
            below = (self.block(index),) if at and not trouble else ()
            return (*entry.nodes(int(where.start), path, "refcount", "Host cluster management"), *below)

        return Node(
            name=f"[{index}]",
            path=path,
            where=where,
            shown=f"→ {at}" if at else "unused",
            doc="Where a refcount block lies",
            spec="Host cluster management",
            kind="refcount",
            state="invalid"
            if trouble or entry.raw & RefcountTableEntry.RESERVED
            else "normal"
            if at
            else "unallocated",
            target=at or None,
            target_path=f"rb[{index}]" if at and not trouble else "",
            children=children,
        )

    def block(self, index: int) -> Node:
        """Refcount block ``index``; its children are its counts."""
        at = self._image.refcount_table[index].refcount_block_offset
        entries = self._geometry.refcount_block_entries
        return Node(
            name=f"block[{index}]",
            path=f"rb[{index}]",
            where=HostRange.at(at, self._geometry.cluster_size),
            shown=f"{entries:,} counts",
            doc="A refcount block: how often each host cluster is used",
            spec="Host cluster management",
            kind="refcount",
            children=lambda: Lazy(entries, lambda slot: self.count(index * entries + slot)),
        )

    def count(self, cluster: int) -> Node:
        """The refcount of a host cluster.

        Raises:
            IndexError: no refcount block covers the cluster.
        """
        where = self._image.refcount_where(cluster)
        if where is None:
            raise IndexError(cluster)
        bits = self._geometry.refcount_bits
        low = cluster % (8 // bits) * bits if bits < 8 else 0
        value = self._image.refcount(cluster)
        return Node(
            name=f"[{cluster}]",
            path=f"ref[{cluster}]",
            where=where,
            shown=f"{value:,}",
            doc=f"How often host cluster {cluster:,} is used",
            spec="Host cluster management",
            kind="refcount",
            state="unallocated" if not value else "normal" if value == 1 else "shared",
            bits=(low, low + bits - 1) if bits < 8 else None,
            target=HostOffset(cluster << self._geometry.cluster_bits),
            target_path=f"c{cluster}",
        )
