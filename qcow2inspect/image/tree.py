"""The structure of an image as nodes, and the way back: from any host byte to the field that owns it.

Nothing is built before it is looked at: a table of four million entries is a lazy sequence in which runs of unused
entries are one node. Paths are address expressions (:mod:`qcow2inspect.image.address`).
"""

from __future__ import annotations

import dataclasses
import os
from functools import cached_property
from typing import TYPE_CHECKING

from qcow2inspect.format.bitmap import BitmapTableEntry
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.luks import LuksHeader
from qcow2inspect.format.mapping import (
    ClusterType,
    L1Entry,
    SubclusterBitmap,
    classify,
    compressed_descriptor,
    subcluster_types,
)
from qcow2inspect.format.refcount import RefcountTableEntry
from qcow2inspect.image.mapping import Mapping, active_mapping, snapshot_mappings
from qcow2inspect.image.table import L2Table, Table
from qcow2inspect.layout.node import LazyNodes, Node
from qcow2inspect.layout.structure import printable
from qcow2inspect.units import GuestRange, HostOffset, HostRange, counted, human_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.format.bitmap import Bitmap
    from qcow2inspect.image.image import Image
    from qcow2inspect.image.locate import Locator

__all__ = ["Mapping", "Tree"]

_TARGETS = {
    "l1_table_offset": "L1",
    "refcount_table_offset": "rt",
    "snapshots_offset": "snap[0]",
    "backing_file_offset": "backing",
}


class Tree:
    """The structure of one image as nodes.

    Args:
        image: the image; its tables are read when nodes are looked at.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self._geometry = image.geometry

    # -- the whole --------------------------------------------------------------------------------------------

    @cached_property
    def root(self) -> Node:
        """The image file with all its structures below it."""
        header = self.image.header
        size = human_size(self._geometry.cluster_size)
        return Node(
            name=printable(os.fsencode(os.path.basename(self.image.name))),
            path="",
            where=HostRange.at(0, self.image.end),
            shown=f"v{header.version} · {size}",
            doc="The image file",
            kind="file",
            children=lambda: self.top,
        )

    @cached_property
    def top(self) -> tuple[Node, ...]:
        """The structures of the image, in the order in which a reader meets them."""
        return (
            self.header,
            self.extensions,
            *self.backing,
            self.l1(self.active),
            self.refcount_table,
            *self._snapshots,
            *self._bitmaps,
            *self.luks,
        )

    @cached_property
    def active(self) -> Mapping:
        """The mapping of the active state."""
        return active_mapping(self.image)

    @cached_property
    def mappings(self) -> tuple[Mapping, ...]:
        """The active state, then every snapshot."""
        return (self.active, *snapshot_mappings(self.image))

    # -- header -----------------------------------------------------------------------------------------------

    @cached_property
    def header(self) -> Node:
        """The header with its fields."""
        header = self.image.header
        return Node(
            name="Header",
            path="hdr",
            where=HostRange.at(0, header.stored_size),
            shown=f"version {header.version}, {header.stored_size} bytes",
            doc="The image header: where everything else lies",
            spec="Header",
            kind="header",
            children=lambda: tuple(
                dataclasses.replace(node, target_path=self._target_of(node)) for node in header.stored_nodes()
            ),
        )

    def _target_of(self, node: Node) -> str:
        """Address of what a header field points to; empty if nothing is there to look at."""
        if not node.target:
            return ""
        if node.name == "snapshots_offset" and not self.image.snapshots:
            return "snap" if self._snapshots else ""
        if node.name == "backing_file_offset" and not self.backing:
            return ""
        return _TARGETS.get(node.name, "")

    @cached_property
    def extensions(self) -> Node:
        """The header extensions, one node each, and the end marker."""
        area = self.image.extensions
        return Node(
            name="Extensions",
            path="ext",
            where=area.where,
            shown=f"{len(area.extensions)}",
            doc="Header extensions: records between the header and the backing file name",
            spec="Header extensions",
            kind="extension",
            children=lambda: self._extension_nodes,
        )

    @cached_property
    def _extension_nodes(self) -> tuple[Node, ...]:
        area = self.image.extensions
        nodes = []
        for index, extension in enumerate(area.extensions):
            path = f"ext[{index}]"
            parts = tuple(extension.nodes(path))
            nodes.append(
                Node(
                    name=extension.TITLE,
                    path=path,
                    where=extension.where,
                    shown=extension.shown,
                    doc=extension.DOC,
                    spec="Header extensions",
                    kind="extension",
                    children=_constant(parts),
                )
            )
        if area.end_marker is not None:
            where = HostRange.at(area.end_marker, 8)
            nodes.append(
                Node(
                    "end marker", "ext.end", where, "", "End of the header extensions", "Header extensions", "extension"
                )
            )
        if area.overrun is not None:
            at = area.extensions[-1].where.end if area.extensions else area.where.start
            nodes.append(
                Node(
                    name="broken record",
                    path="ext.broken",
                    where=HostRange.at(at, 8),
                    shown=f"{area.overrun.magic:#010x} claims {area.overrun.length:,} bytes",
                    doc="A record whose length leads past the area; nothing after it can be read",
                    spec="Header extensions",
                    kind="extension",
                    state="invalid",
                )
            )
        return tuple(nodes)

    @cached_property
    def backing(self) -> tuple[Node, ...]:
        """The backing file name; empty if there is none."""
        name = self.image.backing_name
        if not name:
            return ()
        where = HostRange.at(self.image.header.backing_file_offset, len(name))
        doc = "Name of the backing file, which holds what this image does not"
        return (Node("Backing file", "backing", where, printable(name), doc, "Header", "header"),)

    # -- L1 and L2 --------------------------------------------------------------------------------------------

    def l1(self, mapping: Mapping) -> Node:
        """The L1 table of a mapping; its children are the entries in use and the runs of unused ones."""
        table = mapping.l1
        return Node(
            name="L1 table",
            path=f"{mapping.prefix}L1",
            where=table.range,
            shown=counted(len(table), "entry", "entries"),
            doc=f"The L1 table of the {mapping.title}: where the L2 tables lie",
            spec="L1 table",
            kind="l1",
            children=lambda: self._l1_children(mapping),
        )

    def _l1_children(self, mapping: Mapping) -> Sequence[Node]:
        table = mapping.l1
        stored = max(0, min(len(table), (self.image.end - table.at) // 8))
        column = table.column(0, stored)
        return _entries_and_gaps(
            column != 0,
            len(table),
            lambda index: self.l1_entry(mapping, index),
            lambda start, stop: self._l1_gap(mapping, start, stop),
        )

    def _l1_gap(self, mapping: Mapping, start: int, stop: int) -> Node:
        span = self._geometry.l2_span
        return Node(
            name=_span_name(start, stop),
            path=f"{mapping.prefix}L1[{start}]",
            where=HostRange.at(mapping.l1.at + start * 8, (stop - start) * 8),
            shown="unallocated",
            doc="L1 entries without an L2 table: nothing of this guest range is stored in this image",
            spec="L1 table",
            kind="l1",
            state="unallocated",
            guest=GuestRange.at(start * span, (stop - start) * span),
        )

    def l1_entry(self, mapping: Mapping, index: int) -> Node:
        """Entry ``index`` of an L1 table; its children are its bit fields and the L2 table."""
        entry = mapping.l1[index]
        where = mapping.l1.where(index)
        path = f"{mapping.prefix}L1[{index}]"
        at = entry.l2_table_offset
        trouble = at and (not self._geometry.is_aligned(at) or at >= self.image.end)

        def children() -> Sequence[Node]:
            below = (self.l2(mapping, index),) if at and not trouble else ()
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

    def l2(self, mapping: Mapping, l1_index: int) -> Node:
        """The L2 table of an L1 entry; its children are the entries in use and the runs of unused ones."""
        at = mapping.l1[l1_index].l2_table_offset
        return Node(
            name=f"L2 table of L1[{l1_index}]",
            path=f"{mapping.prefix}L1[{l1_index}].L2",
            where=HostRange.at(at, self._geometry.cluster_size),
            shown=f"{self._geometry.l2_entries:,} entries",
            doc="An L2 table: where the guest clusters of this range lie",
            spec="L2 table",
            kind="l2",
            guest=self._geometry.guest_span(l1_index),
            children=lambda: self._l2_children(mapping, l1_index, self.image.l2_table(at)),
        )

    def _l2_children(self, mapping: Mapping, l1_index: int, table: L2Table) -> Sequence[Node]:
        return _entries_and_gaps(
            (table.words() != 0).any(axis=1),
            len(table),
            lambda index: self.l2_entry(mapping, l1_index, index),
            lambda start, stop: self._l2_gap(mapping, l1_index, table, start, stop),
        )

    def _l2_gap(self, mapping: Mapping, l1_index: int, table: L2Table, start: int, stop: int) -> Node:
        geometry = self._geometry
        first, last = geometry.guest_cluster(l1_index, start), geometry.guest_cluster(l1_index, stop - 1)
        return Node(
            name=_span_name(start, stop),
            path=f"{mapping.prefix}L1[{l1_index}].L2[{start}]",
            where=HostRange.at(table.at + start * table.stride, (stop - start) * table.stride),
            shown="unallocated",
            doc="L2 entries without a cluster: nothing of this guest range is stored in this image",
            spec="L2 table",
            kind="l2",
            state="unallocated",
            guest=GuestRange(first.start, last.end),
        )

    def l2_entry(self, mapping: Mapping, l1_index: int, index: int) -> Node:
        """Entry ``index`` of the L2 table of an L1 entry; its children are its bit fields and what it points to."""
        at = mapping.l1[l1_index].l2_table_offset
        table = self.image.l2_table(at)
        raw = table[index].raw
        kind = classify(raw, extended_l2=table.extended, data_file=self.image.has_data_file)
        path = f"{mapping.prefix}L1[{l1_index}].L2[{index}]"
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
        old_zero = self.image.header.version < 3 and kind in (ClusterType.ZERO_ALLOC, ClusterType.ZERO_PLAIN)
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
        if not at or self.image.has_data_file:
            return None
        encrypted = self.image.header.crypt_method is not CryptMethod.NONE and kind is ClusterType.NORMAL
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

    # -- refcounts --------------------------------------------------------------------------------------------

    @cached_property
    def refcount_table(self) -> Node:
        """The refcount table; its children are the entries in use and the runs of unused ones."""
        table = self.image.refcount_table
        return Node(
            name="Refcounts",
            path="rt",
            where=table.range,
            shown=f"{self._geometry.refcount_bits}-bit, {len(table):,} table entries",
            doc="The refcount table: where the refcount blocks lie",
            spec="Host cluster management",
            kind="refcount",
            children=self._rt_children,
        )

    def _rt_children(self) -> Sequence[Node]:
        table = self.image.refcount_table
        stored = max(0, min(len(table), (self.image.end - table.at) // 8))
        column = table.column(0, stored)
        return _entries_and_gaps(column != 0, len(table), self.rt_entry, self._rt_gap)

    def _rt_gap(self, start: int, stop: int) -> Node:
        table = self.image.refcount_table
        return Node(
            name=_span_name(start, stop),
            path=f"rt[{start}]",
            where=HostRange.at(table.at + start * 8, (stop - start) * 8),
            shown="unused",
            doc="Refcount table entries without a block: all their clusters have refcount 0",
            spec="Host cluster management",
            kind="refcount",
            state="unallocated",
        )

    def rt_entry(self, index: int) -> Node:
        """Entry ``index`` of the refcount table; its children are its bit fields and the refcount block."""
        table = self.image.refcount_table
        entry, where, path = table[index], table.where(index), f"rt[{index}]"
        at = entry.refcount_block_offset
        trouble = at and (not self._geometry.is_aligned(at) or at >= self.image.end)

        def children() -> Sequence[Node]:
            below = (self.refcount_block(index),) if at and not trouble else ()
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

    def refcount_block(self, index: int) -> Node:
        """Refcount block ``index``; its children are its counts."""
        at = self.image.refcount_table[index].refcount_block_offset
        entries = self._geometry.refcount_block_entries
        return Node(
            name=f"block[{index}]",
            path=f"rb[{index}]",
            where=HostRange.at(at, self._geometry.cluster_size),
            shown=f"{entries:,} counts",
            doc="A refcount block: how often each host cluster is used",
            spec="Host cluster management",
            kind="refcount",
            children=lambda: LazyNodes(entries, lambda slot: self.refcount(index * entries + slot)),
        )

    def refcount(self, cluster: int) -> Node:
        """The refcount of a host cluster.

        Raises:
            IndexError: no refcount block covers the cluster.
        """
        where = self.image.refcount_where(cluster)
        if where is None:
            raise IndexError(cluster)
        bits = self._geometry.refcount_bits
        low = cluster % (8 // bits) * bits if bits < 8 else 0
        value = self.image.refcount(cluster)
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

    # -- snapshots, bitmaps, encryption -----------------------------------------------------------------------

    @cached_property
    def _snapshots(self) -> tuple[Node, ...]:
        count = self.image.header.nb_snapshots
        if not count:
            return ()
        found = self.image.snapshots
        end = found[-1].at + found[-1].size if found else self.image.header.snapshots_offset
        at = self.image.header.snapshots_offset
        return (
            Node(
                name="Snapshots",
                path="snap",
                where=HostRange(at, HostOffset(end)),
                shown=f"{count:,}" if len(found) == count else f"{len(found):,} of {count:,} readable",
                doc="The snapshot table: the internal snapshots with an L1 table each",
                spec="Snapshots",
                kind="snapshot",
                state="" if len(found) == count else "invalid",
                children=lambda: LazyNodes(len(found), self.snapshot),
            ),
        )

    def snapshot(self, index: int) -> Node:
        """Entry ``index`` of the snapshot table; its children are its fields and its L1 table."""
        snapshot = self.image.snapshots[index]
        path = f"snap[{index}]"
        return Node(
            name=f"[{index}]",
            path=path,
            where=HostRange.at(snapshot.at, snapshot.size),
            shown=snapshot.title,
            doc="An internal snapshot",
            spec="Snapshots",
            kind="snapshot",
            target=snapshot.entry.l1_table_offset or None,
            target_path=f"{path}.L1",
            children=lambda: (*snapshot.nodes(path), self.l1(self.mappings[index + 1])),
        )

    @cached_property
    def _bitmaps(self) -> tuple[Node, ...]:
        found = self.image.bitmaps
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
                children=lambda: LazyNodes(len(found), self.bitmap),
            ),
        )

    def bitmap(self, index: int) -> Node:
        """Entry ``index`` of the bitmap directory; its children are its fields and its bitmap table."""
        bitmap = self.image.bitmaps[index]
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
            children=lambda: (*bitmap.nodes(path), self.bitmap_table(index)),
        )

    def bitmap_table(self, index: int) -> Node:
        """The bitmap table of a bitmap; its children are its entries."""
        table = self.bitmap_entries(self.image.bitmaps[index])
        path = f"bitmap[{index}].table"
        return Node(
            name="bitmap table",
            path=path,
            where=table.range,
            shown=counted(len(table), "entry", "entries"),
            doc="Where the data of the bitmap lies",
            spec="Bitmaps",
            kind="bitmap",
            children=lambda: LazyNodes(len(table), lambda entry: self.bitmap_entry(table, path, entry)),
        )

    def bitmap_entries(self, bitmap: Bitmap) -> Table[BitmapTableEntry[int]]:
        """The bitmap table of a bitmap."""
        entry = bitmap.entry
        return Table(entry.bitmap_table_offset, entry.bitmap_table_size, BitmapTableEntry, self.image.read)

    def bitmap_entry(self, table: Table[BitmapTableEntry[int]], path: str, index: int) -> Node:
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

    @cached_property
    def luks(self) -> tuple[Node, ...]:
        """The LUKS header; empty if there is none."""
        luks = self.image.luks
        if luks is None:
            return ()
        cipher = printable(luks.fields.cipher_name.rstrip(b"\0") + b"-" + luks.fields.cipher_mode.rstrip(b"\0"))
        return (
            Node(
                name="LUKS header",
                path="luks",
                where=HostRange.at(luks.at, LuksHeader.SIZE),
                shown=cipher,
                doc="The LUKS header: cipher, key slots, salts",
                spec="Data encryption",
                kind="luks",
                children=lambda: luks.nodes("luks"),
            ),
        )

    # -- the way back -----------------------------------------------------------------------------------------

    def locate(self, offset: HostOffset) -> Node:
        """The innermost node that owns a host byte; for a byte that no structure owns, its host cluster.

        Bit fields are not descended into: the node of an entry covers all its bits.
        """
        return self._locator.locate(offset)

    @cached_property
    def _locator(self) -> Locator:
        from qcow2inspect.image.locate import Locator

        return Locator(self)

    def cluster(self, index: int) -> Node:
        """A host cluster as a whole, with its refcount."""
        count = self.image.refcount(index)
        where = HostRange.at(index << self._geometry.cluster_bits, self._geometry.cluster_size)
        return Node(
            name=f"host cluster {index:,}",
            path=f"c{index}",
            where=where,
            shown=f"refcount {count:,}",
            doc="A host cluster that holds no table: data, or nothing that is in use",
            spec="Host cluster management",
            kind="data" if count else "free",
            state="" if count else "free",
        )


_CMP = "Compressed Clusters Descriptor"


def _entries_and_gaps(
    used: npt.NDArray[np.bool_], count: int, entry: Callable[[int], Node], gap: Callable[[int, int], Node]
) -> Sequence[Node]:
    """A node for each entry in use and one for each run of unused ones.

    Args:
        used: which entries are in use; entries past its end are not.
        count: number of entries of the table.
        entry: makes the node of one entry.
        gap: makes the node of the unused entries ``[start, stop)``.
    """
    import numpy as np

    used = used[:count]
    starts_mask = used.copy()
    if len(used):
        starts_mask[0] = True
        starts_mask[1:] |= used[:-1]
    starts = np.flatnonzero(starts_mask)
    if count > len(used) and (not len(used) or used[-1]):
        starts = np.append(starts, len(used))

    def make(place: int) -> Node:
        start = int(starts[place])
        stop = int(starts[place + 1]) if place + 1 < len(starts) else count
        return entry(start) if start < len(used) and used[start] else gap(start, stop)

    return LazyNodes(len(starts), make)


def _constant(nodes: tuple[Node, ...]) -> Callable[[], Sequence[Node]]:
    return lambda: nodes


def _span_name(start: int, stop: int) -> str:
    return f"[{start}]" if stop == start + 1 else f"[{start}‥{stop - 1}]"


def _entry_shown(kind: ClusterType, data: Node | None, table: L2Table, index: int) -> str:
    word = kind.word
    if table.extended and kind is not ClusterType.COMPRESSED:
        runs = subcluster_types(kind, table.bitmap(index).raw)
        if len(runs) > 1:
            word = f"{len({run[0] for run in runs})} kinds of subclusters"
        else:
            word = runs[0][0].word
    return f"{word} → {data.where.start}" if data else word
