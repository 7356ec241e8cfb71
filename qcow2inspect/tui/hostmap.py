"""What every host cluster belongs to, as one byte each: for the cluster map and for jumps to the next change.

Where two owners that must not share a cluster claim it, or a refcount has no owner, the map says so. A file of more
than :data:`MOST` clusters is mapped in units of several clusters; the worst of a unit counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.mapping import ClusterType, L1Entry, L2Entry, classify_column, compressed_descriptor
from qcow2inspect.format.refcount import RefcountTableEntry
from qcow2inspect.layout import packed
from qcow2inspect.progress import Silent

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.image.mapping import Mapping
    from qcow2inspect.image.tree import Tree
    from qcow2inspect.progress import Progress

__all__ = ["MOST", "HostMap", "Owner", "make_host_map"]

MOST = 1 << 26
"""Units of the map at most: one byte each."""


class Owner(IntEnum):
    """What a host cluster belongs to; the higher, the more it must be seen."""

    FREE = 0
    KEPT = 1
    """Guest data that snapshots alone have."""
    DATA = 2
    COMPRESSED = 3
    BITMAP = 4
    LUKS = 5
    SNAPSHOT = 6
    REFCOUNT = 7
    L2 = 8
    L1 = 9
    HEADER = 10
    LEAKED = 11
    """In use by its refcount, and nothing leads to it."""
    CONFLICT = 12
    """Claimed by two that must not share it."""

    @property
    def word(self) -> str:
        """What people call it."""
        return _WORDS[self][0]

    @property
    def role(self) -> str:
        """Colour and glyph."""
        return _WORDS[self][1]


_WORDS = {
    Owner.FREE: ("free", "free"),
    Owner.KEPT: ("snapshot data", "shared"),
    Owner.DATA: ("guest data", "data"),
    Owner.COMPRESSED: ("compressed", "compressed"),
    Owner.BITMAP: ("bitmap", "bitmap"),
    Owner.LUKS: ("LUKS header", "luks"),
    Owner.SNAPSHOT: ("snapshot table", "snapshot"),
    Owner.REFCOUNT: ("refcounts", "refcount"),
    Owner.L2: ("L2 table", "l2"),
    Owner.L1: ("L1 table", "l1"),
    Owner.HEADER: ("header", "header"),
    Owner.LEAKED: ("leaked", "warning"),
    Owner.CONFLICT: ("conflict", "invalid"),
}


@dataclass(frozen=True)
class HostMap:
    """What the host clusters belong to.

    Attributes:
        owners: ``uint8`` of :class:`Owner`, one for each unit.
        unit: host bytes of a unit.
        clusters: clusters of a unit.
        end: host bytes of the file.
    """

    owners: npt.NDArray[np.uint8]
    unit: int
    clusters: int
    end: int

    def __len__(self) -> int:
        return len(self.owners)

    def counts(self, start: int = 0, stop: int | None = None) -> dict[Owner, int]:
        """Units of each owner in ``[start, stop)``, the worst first; owners without any are left out."""
        import numpy as np

        found = np.bincount(self.owners[start:stop], minlength=len(Owner)).tolist()
        return {owner: found[owner] for owner in reversed(Owner) if found[owner]}

    def worst(self, start: int, per_cell: int, cells: int) -> npt.NDArray[np.uint8]:
        """The worst owner of each cell.

        Args:
            start: first unit.
            per_cell: units of a cell.
            cells: number of cells.

        Returns:
            ``uint8`` of :class:`Owner`, at most ``cells`` of them.
        """
        import numpy as np

        part = self.owners[start : start + per_cell * cells]
        if not len(part):
            return part
        return np.maximum.reduceat(part, np.arange(0, len(part), per_cell))

    def worst_unit(self, start: int, stop: int) -> int:
        """The first unit of the worst owner in ``[start, stop)``."""
        return start + int(self.owners[start:stop].argmax())

    def next_change(self, offset: int, step: int) -> int | None:
        """Host offset where the next other owner begins (``step`` 1), or this or the one before began (-1)."""
        import numpy as np

        at = offset // self.unit
        if step > 0:
            other = np.flatnonzero(self.owners[at:] != self.owners[at])
            return (at + int(other[0])) * self.unit if len(other) else None
        at = (offset - 1) // self.unit
        if at < 0:
            return None
        other = np.flatnonzero(self.owners[: at + 1][::-1] != self.owners[at])
        return (at - int(other[0]) + 1) * self.unit if len(other) else 0

    def next_bad(self, unit: int, step: int, named: frozenset[int]) -> int | None:
        """The nearest unit after (``step`` 1) or before (-1) ``unit`` that is leaked, in conflict, or named."""
        import numpy as np

        low = unit + 1 if step > 0 else 0
        part = self.owners[low:] if step > 0 else self.owners[:unit]
        found = np.flatnonzero(part >= Owner.LEAKED)
        places = {low + int(found[0 if step > 0 else -1])} if len(found) else set()
        places |= {other for other in named if (other - unit) * step > 0 and other < len(self.owners)}
        return min(places, key=lambda place: abs(place - unit), default=None)


def make_host_map(tree: Tree, progress: Progress | None = None) -> HostMap:
    """Go through all tables of an image.

    Raises:
        CannotRead: the image file cannot be read.
        Cancelled: the user asked to stop.
    """
    return _Maker(tree, progress or Silent()).make()


class _Maker:
    def __init__(self, tree: Tree, progress: Progress) -> None:
        import numpy as np

        self._tree, self._image, self._geometry = tree, tree.image, tree.image.geometry
        self._progress = progress
        clusters = self._geometry.host_clusters(self._image.end)
        self._shift = max(0, (clusters - 1).bit_length() - MOST.bit_length() + 1)
        self._bits = self._geometry.cluster_bits + self._shift
        self._owners = np.zeros(-(-clusters >> self._shift), dtype=np.uint8)
        self._seen: set[int] = set()

    def make(self) -> HostMap:
        self._progress.begin("mapping", None)
        self._claim(Owner.HEADER, 0, 1)
        image, tree = self._image, self._tree
        self._refcounts()
        for snapshot in image.snapshots:
            self._claim(Owner.SNAPSHOT, snapshot.at, snapshot.size)
        for node in tree.luks:
            self._claim(Owner.LUKS, node.where.start, node.where.size)
        for bitmap in image.bitmaps:
            self._claim(Owner.BITMAP, bitmap.at, bitmap.size)
            table = tree.bitmap_entries(bitmap)
            self._claim(Owner.BITMAP, table.at, len(table) * 8)
        for mapping in tree.mappings:
            self._mapping(mapping)
        self._leaks()
        return HostMap(self._owners, 1 << self._bits, 1 << self._shift, image.end)

    # -- claims -----------------------------------------------------------------------------------------------

    def _claim(self, owner: Owner, offset: int, size: int) -> None:
        """One structure."""
        start = offset >> self._bits
        stop = min(len(self._owners), -(-(offset + size) >> self._bits) if size else start)
        if start < stop:
            part = self._owners[start:stop]
            self._put(slice(start, stop), owner, part)

    def _claim_all(self, owner: Owner, offsets: npt.NDArray[np.uint64]) -> None:
        """One cluster at each offset; those past the end of the file are no clusters of it."""
        import numpy as np

        units = (offsets >> np.uint64(self._bits)).astype(np.int64)
        units = units[units < len(self._owners)]
        if len(units):
            self._put(units, owner, self._owners[units])

    def _put(self, where: slice | npt.NDArray[np.int64], owner: Owner, old: npt.NDArray[np.uint8]) -> None:
        import numpy as np

        value = np.maximum(old, np.uint8(owner))
        if not self._shift:
            clash = (old != Owner.FREE) & (old != owner)
            if owner in (Owner.DATA, Owner.KEPT):
                clash &= (old != Owner.DATA) & (old != Owner.KEPT)
            value[clash] = Owner.CONFLICT
        self._owners[where] = value

    # -- structures -------------------------------------------------------------------------------------------

    def _refcounts(self) -> None:
        table = self._image.refcount_table
        self._claim(Owner.REFCOUNT, table.at, len(table) * 8)
        blocks = self._blocks()
        self._claim_all(Owner.REFCOUNT, blocks[blocks != 0])

    def _blocks(self) -> npt.NDArray[np.uint64]:
        """Where the refcount blocks lie, one for each entry of the table that the file holds; 0 for none."""
        import numpy as np

        table, image = self._image.refcount_table, self._image
        stored = max(0, min(len(table), (image.end - table.at) // 8))
        offsets = table.column(0, stored) & np.uint64(RefcountTableEntry.refcount_block_offset.mask)
        sound = (offsets & np.uint64(self._geometry.cluster_size - 1)) == 0
        return np.where(sound & (offsets < np.uint64(image.end)), offsets, np.uint64(0))

    def _mapping(self, mapping: Mapping) -> None:
        import numpy as np

        image, size = self._image, self._geometry.cluster_size
        stored = max(0, min(len(mapping.l1), (image.end - mapping.l1.at) // 8))
        if not self._geometry.is_aligned(mapping.l1.at) or not stored:
            return
        self._claim(Owner.L1, mapping.l1.at, stored * 8)
        offsets = mapping.l1.column(0, stored) & np.uint64(L1Entry.l2_table_offset.mask)
        sound = (offsets != 0) & ((offsets & np.uint64(size - 1)) == 0) & (offsets < np.uint64(image.end))
        tables = np.unique(offsets[sound])
        new = [int(at) for at in tables.tolist() if at not in self._seen]
        self._seen.update(new)
        self._claim_all(Owner.L2, np.array(new, dtype=np.uint64))
        for at in new:
            self._progress.advance(size)
            self._l2_table(at, Owner.KEPT if mapping.prefix else Owner.DATA)

    def _l2_table(self, at: int, owner: Owner) -> None:
        import numpy as np

        image, geometry = self._image, self._geometry
        data = image.read(at, geometry.cluster_size)
        raw = np.frombuffer(data, dtype=">u8").astype(np.uint64)[:: geometry.l2_entry_size // 8]
        kinds = classify_column(raw, extended_l2=geometry.extended_l2, data_file=image.has_data_file)
        if not image.has_data_file:
            stored = (kinds == ClusterType.NORMAL) | (kinds == ClusterType.ZERO_ALLOC)
            self._claim_all(owner, raw[stored] & np.uint64(L2Entry.host_cluster_offset.mask))
        self._runs(raw[kinds == ClusterType.COMPRESSED])

    def _runs(self, raw: npt.NDArray[np.uint64]) -> None:
        """The clusters that the runs of compressed clusters touch: the first, the last, and those between."""
        import numpy as np

        declared = compressed_descriptor(self._geometry.cluster_bits)
        start = raw & np.uint64(declared.host_offset.mask)
        field = declared.additional_sectors
        sectors = (raw & np.uint64(field.mask)) >> np.uint64((field.mask & -field.mask).bit_length() - 1)
        last = (start & ~np.uint64(SECTOR - 1)) + (sectors + np.uint64(1)) * np.uint64(SECTOR) - np.uint64(1)
        self._claim_all(Owner.COMPRESSED, start)
        self._claim_all(Owner.COMPRESSED, last)

    def _leaks(self) -> None:
        """Clusters that a refcount says are in use and nothing leads to."""

        if self._shift:
            return
        entries, bits = self._geometry.refcount_block_entries, self._geometry.refcount_bits
        for index, at in enumerate(self._blocks().tolist()):
            start = index * entries
            if not at or start >= len(self._owners):
                continue
            self._progress.advance(0)
            counts = packed.unpack(self._image.read(at, self._geometry.cluster_size), bits)
            part = self._owners[start : start + len(counts)]
            part[(part == Owner.FREE) & (counts[: len(part)] != 0)] = Owner.LEAKED
