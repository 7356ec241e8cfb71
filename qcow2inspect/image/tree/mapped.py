"""The L1 table of one mapping and its L2 tables as nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.mapping import (
    ClusterType,
    L1Entry,
    SubclusterBitmap,
    classify,
    compressed_descriptor,
    subcluster_types,
)
from qcow2inspect.image.tree.runs import entries_and_gaps, span_name
from qcow2inspect.layout.node import Node
from qcow2inspect.units import GuestRange, HostOffset, HostRange, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qcow2inspect.image.image import Image
    from qcow2inspect.image.mapping import Mapping
    from qcow2inspect.image.table import L2Table

__all__ = ["MappedNodes"]

_CMP = "Compressed Clusters Descriptor"


class MappedNodes:
    """The tables of one mapping as nodes.

    Args:
        image: the image.
        mapping: the active state or a snapshot.
    """

    def __init__(self, image: Image, mapping: Mapping) -> None:
        self._image = image
        self._geometry = image.geometry
        self.mapping = mapping

    @property
    def l1(self) -> Node:
        """The L1 table; its children are the entries in use and the runs of unused ones."""
        table = self.mapping.l1
        return Node(
            name="L1 table",
            path=f"{self.mapping.prefix}L1",
            where=table.range,
            shown=counted(len(table), "entry", "entries"),
            doc=f"The L1 table of the {self.mapping.title}: where the L2 tables lie",
            spec="L1 table",
            kind="l1",
            children=self._l1_children,
        )

    def _l1_children(self) -> Sequence[Node]:
        table = self.mapping.l1
        stored = max(0, min(len(table), (self._image.end - table.at) // 8))
        column = table.column(0, stored)
        return entries_and_gaps(column != 0, len(table), self.l1_entry, self._l1_gap)

    def _l1_gap(self, start: int, stop: int) -> Node:
        span = self._geometry.l2_span
        return Node(
            name=span_name(start, stop),
            path=f"{self.mapping.prefix}L1[{start}]",
            where=HostRange.at(self.mapping.l1.at + start * 8, (stop - start) * 8),
            shown="unallocated",
            doc="L1 entries without an L2 table: nothing of this guest range is stored in this image",
            spec="L1 table",
            kind="l1",
            state="unallocated",
            guest=GuestRange.at(start * span, (stop - start) * span),
        )

    def l1_entry(self, index: int) -> Node:
        """Entry ``index`` of the L1 table; its children are its bit fields and the L2 table."""
        entry = self.mapping.l1[index]
        where = self.mapping.l1.where(index)
        path = f"{self.mapping.prefix}L1[{index}]"
        at = entry.l2_table_offset
        trouble = at and (not self._geometry.is_aligned(at) or at >= self._image.end)

        def children() -> Sequence[Node]:
            below = (self.l2(index),) if at and not trouble else ()
            return (*entry.nodes(int(where.start), path, "l1", "L1 table"), *below)

        return Node(
            name=f"[{index}]",
            path=path,
            where=where,
            shown=f"→ {at}" if at else "unallocated",
            doc="Where the L2 table of this guest range lies",
            spec="L1 table",
            kind="l1",
            state="invalid" if trouble or entry.raw & L1Entry.RESERVED else "normal" if at else "unallocated",
            guest=self._geometry.guest_span(index),
            target=at or None,
            target_path=f"{path}.L2" if at and not trouble else "",
            children=children,
        )

    def l2(self, l1_index: int) -> Node:
        """The L2 table of an L1 entry; its children are the entries in use and the runs of unused ones."""
        at = self.mapping.l1[l1_index].l2_table_offset
        return Node(
            name=f"L2 table of L1[{l1_index}]",
            path=f"{self.mapping.prefix}L1[{l1_index}].L2",
            where=HostRange.at(at, self._geometry.cluster_size),
            shown=f"{self._geometry.l2_entries:,} entries",
            doc="An L2 table: where the guest clusters of this range lie",
            spec="L2 table",
            kind="l2",
            guest=self._geometry.guest_span(l1_index),
            children=lambda: self._l2_children(l1_index, self._image.l2_table(at)),
        )

    def _l2_children(self, l1_index: int, table: L2Table) -> Sequence[Node]:
        return entries_and_gaps(
            (table.words() != 0).any(axis=1),
            len(table),
            lambda index: self.l2_entry(l1_index, index),
            lambda start, stop: self._l2_gap(l1_index, table, start, stop),
        )

    def _l2_gap(self, l1_index: int, table: L2Table, start: int, stop: int) -> Node:
        geometry = self._geometry
        first, last = geometry.guest_cluster(l1_index, start), geometry.guest_cluster(l1_index, stop - 1)
        return Node(
            name=span_name(start, stop),
            path=f"{self.mapping.prefix}L1[{l1_index}].L2[{start}]",
            where=HostRange.at(table.at + start * table.stride, (stop - start) * table.stride),
            shown="unallocated",
            doc="L2 entries without a cluster: nothing of this guest range is stored in this image",
            spec="L2 table",
            kind="l2",
            state="unallocated",
            guest=GuestRange(first.start, last.end),
        )

    def l2_entry(self, l1_index: int, index: int) -> Node:
        """Entry ``index`` of the L2 table of an L1 entry; its children are its bit fields and what it points to."""
        at = self.mapping.l1[l1_index].l2_table_offset
        table = self._image.l2_table(at)
        raw = table[index].raw
        kind = classify(raw, extended_l2=table.extended, data_file=self._image.has_data_file)
        path = f"{self.mapping.prefix}L1[{l1_index}].L2[{index}]"
        where = table.where(index)
        guest = self._geometry.guest_cluster(l1_index, index)
        data = self._data(kind, raw, path, guest)

        def children() -> Sequence[Node]:
            if kind is ClusterType.COMPRESSED:
                bits = compressed_descriptor(self._geometry.cluster_bits)(raw).nodes(int(where.start), path, "l2", _CMP)
            else:
                bits = table.descriptor(index).nodes(int(where.start), path, "l2", "L2 table")
            if table.extended:
                bits += self._subclusters(table, index, path)
            return (*bits, *((data,) if data else ()))

        return Node(
            name=f"[{index}]",
            path=path,
            where=where,
            shown=_entry_shown(kind, data, table, index),
            doc="Where the data of this guest cluster lies",
            spec="L2 table",
            kind="l2",
            state=self._entry_state(kind, raw, table, index),
            guest=guest,
            target=data.where.start if data else None,
            target_path=data.path if data else "",
            children=children,
        )

    def _entry_state(self, kind: ClusterType, raw: int, table: L2Table, index: int) -> str:
        if kind is ClusterType.COMPRESSED:
            return kind.word
        entry = table.descriptor(index)
        misplaced = not self._geometry.is_aligned(entry.host_cluster_offset)
        old_zero = self._image.header.version < 3 and kind in (ClusterType.ZERO_ALLOC, ClusterType.ZERO_PLAIN)
        if misplaced or old_zero or raw & type(entry).RESERVED:
            return ClusterType.INVALID.word
        if table.extended:
            runs = subcluster_types(kind, table.bitmap(index).raw)
            return runs[0][0].word if len(runs) == 1 else "subclusters"
        return kind.word

    def _data(self, kind: ClusterType, raw: int, path: str, guest: GuestRange) -> Node | None:
        """What an L2 entry points to, in this file; None if there is nothing."""
        if kind is ClusterType.COMPRESSED:
            run = compressed_descriptor(self._geometry.cluster_bits)(raw).run()
            return Node(
                name="compressed data",
                path=f"{path}.data",
                where=run,
                shown=f"up to {run.size:,} bytes",
                doc="The compressed stream of one guest cluster; it may end before its last sector does",
                spec=_CMP,
                kind="compressed",
                state=kind.word,
                guest=guest,
            )
        at = HostOffset(raw & 0x00FF_FFFF_FFFF_FE00)
        if not at or self._image.has_data_file:
            return None
        encrypted = self._image.header.crypt_method is not CryptMethod.NONE and kind is ClusterType.NORMAL
        return Node(
            name="data",
            path=f"{path}.data",
            where=HostRange.at(at, self._geometry.cluster_size),
            shown=f"host cluster {at >> self._geometry.cluster_bits:,}",
            doc="Reserved; the guest reads zeros, older bytes may be here"
            if kind is ClusterType.ZERO_ALLOC
            else "The bytes of one guest cluster" + (", encrypted" if encrypted else ""),
            spec="L2 table",
            kind="data",
            state=kind.word,
            guest=guest,
        )

    def _subclusters(self, table: L2Table, index: int, path: str) -> list[Node]:
        bitmap: SubclusterBitmap[int] = table.bitmap(index)
        return bitmap.nodes(int(table.where(index).start) + 8, path, "l2", "Extended L2 Entries")


def _entry_shown(kind: ClusterType, data: Node | None, table: L2Table, index: int) -> str:
    word = kind.word
    if table.extended and kind is not ClusterType.COMPRESSED:
        runs = subcluster_types(kind, table.bitmap(index).raw)
        if len(runs) > 1:
            word = f"{len({run[0] for run in runs})} kinds of subclusters"
        else:
            word = runs[0][0].word
    return f"{word} → {data.where.start}" if data else word
