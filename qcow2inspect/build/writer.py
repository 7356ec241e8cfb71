"""Writes an image cluster by cluster, in any order, with constant memory beside the refcounts.

Where things lie::

    cluster 0   header, extensions, backing file name
    then        refcount table, first refcount block, L1 table      (as QEMU lays out a new image)
    then        L2 tables, data and compressed streams as they come
    at the end  snapshot table, LUKS header, bitmaps, further refcount blocks

COPIED flags are set when the image is finished, from the refcounts.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from qcow2inspect.build.front import Layout, Places, header_cluster, padded
from qcow2inspect.format.bitmap import BitmapDirectoryEntry, BitmapFlags, BitmapType
from qcow2inspect.format.extensions.bitmaps import Bitmaps, BitmapsPointer
from qcow2inspect.format.extensions.encryption import EncryptionHeader, EncryptionPointer
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.mapping import ClusterType, L2Entry, classify, compressed_descriptor
from qcow2inspect.format.refcount import RefcountTableEntry
from qcow2inspect.format.snapshot import SnapshotEntry
from qcow2inspect.layout import packed
from qcow2inspect.units import HostOffset

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["ImageWriter", "Layout", "Target"]

_COPIED = L2Entry.copied.mask
_OFFSET = L2Entry.host_cluster_offset.mask


class Target(Protocol):
    """Where the image is written."""

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of ``data`` at ``offset``."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Read back what was written; short only at the end."""

    def truncate(self, size: int) -> None:
        """Set the size; what was not written reads as zeros."""


@dataclass
class _State:
    """A mapping being written: the L1 column and the one L2 table that is in memory."""

    l1: array[int]
    table_index: int = -1
    table: bytearray = field(default_factory=bytearray)


class ImageWriter:
    """Writes one image. Call the ``put`` methods in any order, then :meth:`finish`.

    Args:
        target: where to write.
        layout: what is the same for the whole image.
    """

    def __init__(self, target: Target, layout: Layout) -> None:
        self._target = target
        self.layout = layout
        self.geometry = layout.geometry
        self._cs = self.geometry.cluster_size
        self._descriptor = compressed_descriptor(layout.cluster_bits)
        self._counts = array("Q")
        self._packed_end = 0
        self._snapshots: list[bytes] = []
        self._bitmaps: list[bytes] = []
        self._pointers: list[tuple[int, bytes]] = []
        self._allocate(1)
        guest_clusters = -(-layout.size // self._cs)
        most = layout.generations * (guest_clusters + guest_clusters // self.geometry.l2_entries + 64)
        blocks = -(-most // self.geometry.refcount_block_entries) + 1
        self._rt_clusters = -(-blocks * 8 // self._cs)
        self._rt = self._allocate(self._rt_clusters)
        self._first_block = self._allocate(1)
        l1_size = max(1, self.geometry.l1_entries(layout.size)) + layout.l1_extra
        self._l1_at = self._allocate(-(-l1_size * 8 // self._cs))
        self._state = _State(array("Q", bytes(8 * l1_size)))

    # -- host clusters ----------------------------------------------------------------------------------------

    def _allocate(self, clusters: int) -> int:
        """Host offset of ``clusters`` new clusters at the end of the file, each used once."""
        at = len(self._counts) * self._cs
        self._counts.extend([1] * clusters)
        return at

    def _use(self, at: int, size: int, change: int) -> None:
        """Change the refcount of every cluster that ``size`` bytes at ``at`` touch."""
        for cluster in range(at // self._cs, (at + size - 1) // self._cs + 1):
            self._counts[cluster] += change

    # -- guest clusters ---------------------------------------------------------------------------------------

    def put(self, guest_cluster: int, data: bytes) -> None:
        """Store a guest cluster as it is; ``data`` is one cluster."""
        self._store(guest_cluster, data, 0, _ALL_SUBCLUSTERS)

    def put_zero(self, guest_cluster: int, keep: bytes = b"") -> None:
        """Make a guest cluster read as zeros; ``keep`` stays in a host cluster that is reserved for it."""
        if self.layout.version < 3:
            raise ValueError("version 2 has no zero clusters")
        if keep:
            self._store(guest_cluster, keep, L2Entry.reads_as_zero.mask, _ALL_SUBCLUSTERS << 32)
        else:
            flag = 0 if self.layout.extended_l2 else L2Entry.reads_as_zero.mask
            self._set(guest_cluster, flag, _ALL_SUBCLUSTERS << 32)

    def put_subclusters(self, guest_cluster: int, data: bytes, bitmap: int) -> None:
        """Store a guest cluster with a subcluster allocation bitmap; without ``data`` there is no host cluster."""
        if data:
            self._store(guest_cluster, data, 0, bitmap)
        else:
            self._set(guest_cluster, 0, bitmap)

    def put_compressed(self, guest_cluster: int, stream: bytes) -> None:
        """Store a guest cluster as a compressed stream, right behind the stream before it where there is room."""
        at = self._packed_end
        full = len(self._counts) * self._cs
        fits = at % self._cs and self._counts[at // self._cs] < self.geometry.refcount_max
        if not fits or (at // self._cs + 1) * self._cs != full:
            at = full
        if (at + len(stream) - 1) // SECTOR - at // SECTOR >= 2 * self._cs // SECTOR:
            at = full  # the descriptor could not count the sectors
        for _ in range(full, at + len(stream), self._cs):
            self._counts.append(0)
        sectors = (at + len(stream) - 1) // SECTOR - at // SECTOR
        run = self._descriptor(self._descriptor.make(compressed=1, additional_sectors=sectors, host_offset=at))
        self._use(at, run.run().end - at, 1)
        self._target.write_at(at, stream)
        self._packed_end = at + len(stream)
        self._set(guest_cluster, run.raw, 0)

    def _store(self, guest_cluster: int, data: bytes, flags: int, bitmap: int) -> None:
        if self.layout.data_file:
            at = guest_cluster * self._cs
        else:
            at = self._allocate(1)
            self._target.write_at(at, data)
        self._set(guest_cluster, (0 if self.layout.extended_l2 else flags) | at | _COPIED, bitmap)

    def _set(self, guest_cluster: int, entry: int, bitmap: int) -> None:
        """Set an L2 entry, giving up what it held before; a table that a snapshot shares is copied first."""
        l1_index, l2_index = divmod(guest_cluster, self.geometry.l2_entries)
        self._load(l1_index)
        size = self.geometry.l2_entry_size
        old = int.from_bytes(self._state.table[l2_index * size : l2_index * size + 8], "big")
        self._release(old)
        packed_entry = entry.to_bytes(8, "big") + (bitmap.to_bytes(8, "big") if size == 16 else b"")
        self._state.table[l2_index * size : (l2_index + 1) * size] = packed_entry

    def _release(self, entry: int) -> None:
        if entry & L2Entry.compressed.mask:
            run = self._descriptor(entry).run()
            self._use(run.start, run.size, -1)
        elif entry & _OFFSET and not self.layout.data_file:
            self._use(entry & _OFFSET, 1, -1)

    # -- L2 tables --------------------------------------------------------------------------------------------

    def _load(self, l1_index: int) -> None:
        """Have the L2 table of an L1 entry in memory, owned by the active state alone."""
        state = self._state
        if state.table_index == l1_index:
            return
        self._flush()
        at = state.l1[l1_index] & _OFFSET
        state.table = bytearray(self._target.read_at(at, self._cs) if at else self._cs)
        if not at or self._counts[at // self._cs] > 1:
            if at:
                self._use(at, 1, -1)
            state.l1[l1_index] = self._allocate(1) | _COPIED
        state.table_index = l1_index

    def _flush(self) -> None:
        state = self._state
        if state.table_index >= 0:
            self._target.write_at(state.l1[state.table_index] & _OFFSET, bytes(state.table))
            state.table_index = -1

    def _tables(self) -> Iterator[tuple[int, int, bytearray]]:
        """L1 index, host offset and bytes of every L2 table of the active state."""
        self._flush()
        for index, entry in enumerate(self._state.l1):
            if entry & _OFFSET:
                yield index, entry & _OFFSET, bytearray(self._target.read_at(entry & _OFFSET, self._cs))

    def _entries(self, table: bytearray) -> Iterator[tuple[int, int]]:
        """Byte position in the table and value of every L2 entry."""
        for at in range(0, self._cs, self.geometry.l2_entry_size):
            yield at, int.from_bytes(table[at : at + 8], "big")

    # -- snapshots --------------------------------------------------------------------------------------------

    def take_snapshot(self, name: bytes, *, ident: bytes = b"", date_sec: int = 0, extra: bytes = b"") -> None:
        """Keep the present state as an internal snapshot; later writes copy what it shares.

        Args:
            name: name of the snapshot.
            ident: its id; by default its number.
            date_sec: when it was taken, seconds since 1970.
            extra: the extra data of its entry (:class:`~qcow2inspect.format.snapshot.SnapshotExtra`).
        """
        for _, at, table in self._tables():
            self._use(at, 1, 1)
            for _, entry in self._entries(table):
                if entry & L2Entry.compressed.mask:
                    run = self._descriptor(entry).run()
                    self._use(run.start, run.size, 1)
                elif entry & _OFFSET:
                    self._use(entry & _OFFSET, 1, 1)
        l1 = self._state.l1
        at = self._allocate(-(-len(l1) * 8 // self._cs))
        self._target.write_at(at, packed.pack(l1, 64))
        ident = ident or str(len(self._snapshots) + 1).encode()
        fixed = SnapshotEntry(HostOffset(at), len(l1), len(ident), len(name), date_sec, 0, 0, 0, len(extra))
        self._snapshots.append(padded(fixed.encode() + extra + ident + name))

    # -- bitmaps ----------------------------------------------------------------------------------------------

    def put_bitmap(
        self, name: bytes, dirty: Collection[int], *, granularity_bits: int = 16, flags: int = 2, extra: bytes = b""
    ) -> None:
        """Store a dirty bitmap.

        Args:
            name: its name.
            dirty: numbers of the bits that are set.
            granularity_bits: log2 of the guest bytes that a bit stands for.
            flags: as in the directory entry; by default the bitmap is enabled.
            extra: extra data of the entry.
        """
        bits = -(-self.layout.size >> granularity_bits)
        data = sum(1 << bit for bit in dirty).to_bytes(-(-bits // 8), "little")
        table = array("Q")
        for at in range(0, len(data), self._cs):
            part = data[at : at + self._cs]
            table.append(self._append(part) if any(part) else 0)
        entry = BitmapDirectoryEntry(
            bitmap_table_offset=HostOffset(self._append(packed.pack(table, 64))),
            bitmap_table_size=len(table),
            flags=BitmapFlags(flags),
            type=BitmapType.DIRTY_TRACKING,
            granularity_bits=granularity_bits,
            name_size=len(name),
            extra_data_size=len(extra),
        )
        self._bitmaps.append(padded(entry.encode() + extra + name))

    def _append(self, data: bytes) -> int:
        """Host offset of new clusters that hold ``data``."""
        at = self._allocate(-(-len(data) // self._cs))
        self._target.write_at(at, data)
        return at

    # -- the end ----------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Write the tables, the refcounts and, last of all, the header."""
        if max(self._counts) > self.geometry.refcount_max:
            raise ValueError(f"a refcount of {max(self._counts)} does not fit {self.geometry.refcount_bits} bits")
        self._set_copied()
        self._target.write_at(self._l1_at, packed.pack(self._state.l1, 64))
        snapshots_at = 0
        if self._snapshots:
            snapshots_at = self._append(b"".join(self._snapshots))
        self._write_pointed()
        self._write_refcounts()
        places = Places(
            l1_size=len(self._state.l1),
            l1_table=self._l1_at,
            refcount_table=self._rt,
            refcount_table_clusters=self._rt_clusters,
            nb_snapshots=len(self._snapshots),
            snapshots=snapshots_at,
            pointers=tuple(self._pointers),
        )
        header = header_cluster(self.layout, places)
        self._target.truncate(len(self._counts) * self._cs)
        self._target.write_at(0, header)

    def _write_pointed(self) -> None:
        """Write what header extensions point to."""
        luks = self.layout.luks_header
        if luks:
            pointer = EncryptionPointer(HostOffset(self._append(luks)), len(luks))
            self._pointers.append((EncryptionHeader.MAGIC, pointer.encode()))
        if self._bitmaps:
            directory = b"".join(self._bitmaps)
            at = HostOffset(self._append(directory))
            place = BitmapsPointer(len(self._bitmaps), 0, len(directory), at)
            self._pointers.append((Bitmaps.MAGIC, place.encode()))

    def _set_copied(self) -> None:
        """COPIED is set exactly where the refcount is one."""
        self._flush()
        if not self._snapshots:
            return
        for index, at, table in self._tables():
            for place, entry in self._entries(table):
                kind = classify(entry, extended_l2=self.layout.extended_l2)
                if kind in (ClusterType.NORMAL, ClusterType.ZERO_ALLOC):
                    once = self._counts[(entry & _OFFSET) // self._cs] == 1
                    table[place : place + 8] = (entry & ~_COPIED | (_COPIED if once else 0)).to_bytes(8, "big")
            self._target.write_at(at, bytes(table))
            self._state.l1[index] = at | (_COPIED if self._counts[at // self._cs] == 1 else 0)

    def _write_refcounts(self) -> None:
        per_block = self.geometry.refcount_block_entries
        blocks = [self._first_block]
        while len(blocks) * per_block < len(self._counts):
            blocks.append(self._allocate(1))
        if len(blocks) * 8 > self._rt_clusters * self._cs:
            raise ValueError("the image outgrew its refcount table; allow more generations")
        entries = [RefcountTableEntry.make(refcount_block_offset=at) for at in blocks]
        self._target.write_at(self._rt, packed.pack(entries, 64).ljust(self._rt_clusters * self._cs, b"\0"))
        for index, at in enumerate(blocks):
            counts = self._counts[index * per_block : (index + 1) * per_block]
            block = packed.pack(counts, self.geometry.refcount_bits)
            self._target.write_at(at, block.ljust(self._cs, b"\0"))


_ALL_SUBCLUSTERS = 0xFFFF_FFFF
