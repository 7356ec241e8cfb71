"""One pass over all mapping tables: what the guest clusters are, and which entries are odd.

Every L2 table is read once, however many L1 entries lead to it, so that an image whose entries all name one table
costs no more than an honest one. A table that the header puts at an impossible place or makes impossibly large is not
looked at: what stands there is no table. Odd entries are kept as columns, at most :data:`KEPT` of each kind, with
their true number beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag
from typing import TYPE_CHECKING

from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.mapping import (
    ClusterType,
    L1Entry,
    L2Entry,
    L2EntryExtended,
    classify_column,
    compressed_descriptor,
)
from qcow2inspect.format.refcount import RefcountTableEntry
from qcow2inspect.image.tree import Tree
from qcow2inspect.progress import Silent
from qcow2inspect.units import HostOffset

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.image.image import Image
    from qcow2inspect.image.tree import Mapping
    from qcow2inspect.layout.word import Column
    from qcow2inspect.progress import Progress

__all__ = ["KEPT", "Odd", "OddEntry", "Survey", "take_survey"]

KEPT = 4096
"""Odd entries of one kind that are kept with their place; the rest is counted."""

_BATCH = 4 << 20


class Odd(IntFlag):
    """What is odd about an entry of an L1 table, L2 table or refcount table."""

    L1_RESERVED = 1 << 0
    """A reserved bit of an L1 entry is set."""
    L1_UNALIGNED = 1 << 1
    """An L1 entry points to no multiple of the cluster size."""
    L1_EOF = 1 << 2
    """An L1 entry points to an L2 table that the file does not hold whole."""
    L1_FLAGS_ONLY = 1 << 3
    """An L1 entry has flags but no offset."""
    L2_RESERVED = 1 << 4
    """A reserved bit of an L2 entry is set."""
    L2_UNALIGNED = 1 << 5
    """A normal L2 entry points to no multiple of the cluster size."""
    L2_PREALLOC_UNALIGNED = 1 << 6
    """A zero-alloc L2 entry points to no multiple of the cluster size."""
    L2_ZERO_V2 = 1 << 7
    """The zero flag is set in a version 2 image."""
    L2_EOF = 1 << 8
    """A normal L2 entry points past the end of the file."""
    L2_COPIED_ONLY = 1 << 9
    """An L2 entry has the COPIED flag but no offset."""
    CMP_EOF = 1 << 10
    """A compressed run starts past the end of the file."""
    CMP_COPIED = 1 << 11
    """The COPIED flag of a compressed cluster is set."""
    SUBCLUSTERS = 1 << 12
    """The subcluster allocation bitmap contradicts itself or the entry."""
    DATA_FILE = 1 << 13
    """An entry that an image with an external data file must not have."""
    RT_RESERVED = 1 << 14
    """A reserved bit of a refcount table entry is set."""
    RT_UNALIGNED = 1 << 15
    """A refcount table entry points to no multiple of the cluster size."""
    RT_EOF = 1 << 16
    """A refcount table entry points past the end of the file."""


@dataclass(frozen=True, slots=True)
class OddEntry:
    """One odd entry.

    Attributes:
        mapping: the mapping it belongs to; None for the refcount table.
        l1_index: index in the L1 table; in the refcount table if ``mapping`` is None.
        l2_index: index in the L2 table; None for an entry of an L1 or refcount table.
        raw: the entry as stored (its first 64 bits).
    """

    mapping: Mapping | None
    l1_index: int
    l2_index: int | None
    raw: int


@dataclass
class Survey:
    """What is known about an image.

    Attributes:
        image: the image.
        tree: its structure.
        complete: True if all tables were read; False if only the header was looked at.
        clusters: guest clusters of the active state by type.
        l2_tables: distinct L2 tables, of the active state and of all snapshots.
        l1_used: L1 entries of the active state with an L2 table.
        odd_count: number of entries that are odd in each way.
        odd: the first :data:`KEPT` of them.
    """

    image: Image
    tree: Tree
    complete: bool = False
    clusters: dict[ClusterType, int] = field(default_factory=dict)
    l2_tables: int = 0
    l1_used: int = 0
    odd_count: dict[Odd, int] = field(default_factory=dict)
    odd: dict[Odd, list[OddEntry]] = field(default_factory=dict)

    @classmethod
    def of_header(cls, image: Image) -> Survey:
        """A survey that has looked at nothing but the header."""
        return cls(image, Tree(image))

    def note(self, kind: Odd, count: int, entries: Iterator[OddEntry]) -> None:
        """Keep ``count`` entries that are odd in one way; only as many are taken from ``entries`` as are kept."""
        if not count:
            return
        self.odd_count[kind] = self.odd_count.get(kind, 0) + count
        kept = self.odd.setdefault(kind, [])
        for entry in entries:
            if len(kept) >= KEPT:
                return
            kept.append(entry)


def take_survey(image: Image, progress: Progress | None = None) -> Survey:
    """Read all mapping tables and the refcount table of an image.

    Args:
        image: the image; its backing file, data file or key is not needed.
        progress: told about every batch of tables, in bytes.

    Raises:
        CannotRead: the image file cannot be read.
        Cancelled: the user asked to stop.
    """
    return _Surveyor(image, progress or Silent()).run()


class _Surveyor:
    def __init__(self, image: Image, progress: Progress) -> None:
        self._survey = Survey.of_header(image)
        self._image = image
        self._geometry = image.geometry
        self._progress = progress
        self._seen: set[int] = set()

    def run(self) -> Survey:
        survey = self._survey
        survey.clusters = dict.fromkeys(ClusterType, 0)
        refused = {obstacle.code for obstacle in self._image.obstacles}
        if not refused & {"QCOW-HDR-RT-LARGE", "QCOW-HDR-RT-OFFSET"}:
            self._refcount_table()
        self._progress.begin("Reading tables", None)
        if not refused & {"QCOW-HDR-L1-LARGE", "QCOW-HDR-L1-OFFSET"}:
            self._mapping(survey.tree.active)
        if not refused & {"QCOW-HDR-SNAP-COUNT", "QCOW-HDR-SNAP-OFFSET"}:
            for mapping in survey.tree.mappings[1:]:
                self._mapping(mapping)
        survey.l2_tables = len(self._seen)
        survey.complete = True
        return survey

    # -- refcount table ---------------------------------------------------------------------------------------

    def _refcount_table(self) -> None:
        import numpy as np

        table = self._image.refcount_table
        stored = max(0, min(len(table), (self._image.end - table.at) // 8))
        column = table.column(0, stored)
        entry: RefcountTableEntry[Column] = RefcountTableEntry(column)
        at = entry.refcount_block_offset
        masks = {
            Odd.RT_RESERVED: entry.reserved_low != 0,
            Odd.RT_UNALIGNED: (at & np.uint64(self._geometry.cluster_size - 1)) != 0,
            Odd.RT_EOF: at >= np.uint64(self._image.end),
        }
        for kind, mask in masks.items():
            places = np.flatnonzero(mask)
            entries = (OddEntry(None, int(i), None, int(column[i])) for i in places[:KEPT])
            self._survey.note(kind, len(places), entries)

    # -- L1 tables --------------------------------------------------------------------------------------------

    def _mapping(self, mapping: Mapping) -> None:
        import numpy as np

        stored = max(0, min(len(mapping.l1), (self._image.end - mapping.l1.at) // 8))
        column = mapping.l1.column(0, stored)
        offsets = column & np.uint64(L1Entry.l2_table_offset.mask)
        aligned = (offsets & np.uint64(self._geometry.cluster_size - 1)) == 0
        inside = offsets < np.uint64(self._image.end)
        self._odd_l1(mapping, column, offsets, aligned, inside)
        usable = np.flatnonzero((offsets != 0) & aligned & inside)
        tables, first, which = np.unique(offsets[usable], return_index=True, return_inverse=True)
        on_disk = usable < self._geometry.l1_entries(mapping.size)
        times = np.bincount(which[on_disk], minlength=len(tables))
        new = np.array([int(at) not in self._seen for at in tables], dtype=bool)
        self._seen.update(int(at) for at in tables[new])
        is_active = mapping is self._survey.tree.active
        if is_active:
            self._survey.l1_used = int(np.count_nonzero(offsets))
            self._start_counting(mapping, offsets, usable[on_disk])
        for batch in self._batches(tables[new]):
            self._l2_tables(mapping, tables[new][batch], usable[first[new][batch]], times[new][batch], is_active)

    def _odd_l1(
        self,
        mapping: Mapping,
        column: Column,
        offsets: Column,
        aligned: npt.NDArray[np.bool_],
        inside: npt.NDArray[np.bool_],
    ) -> None:
        import numpy as np

        whole = offsets + np.uint64(self._geometry.cluster_size) <= np.uint64(self._image.end)
        masks = {
            Odd.L1_RESERVED: (column & np.uint64(L1Entry.RESERVED)) != 0,
            Odd.L1_UNALIGNED: ~aligned,
            Odd.L1_EOF: (offsets != 0) & ~whole,
            Odd.L1_FLAGS_ONLY: (offsets == 0) & (column != 0),
        }
        for kind, mask in masks.items():
            places = np.flatnonzero(mask)
            entries = (OddEntry(mapping, int(i), None, int(column[i])) for i in places[:KEPT])
            self._survey.note(kind, len(places), entries)

    def _start_counting(self, mapping: Mapping, offsets: Column, usable: npt.NDArray[np.intp]) -> None:
        """Guest clusters without an L2 table are unallocated; what lies past the end of the disk does not count."""
        entries, clusters = self._geometry.l2_entries, -(-mapping.size // self._geometry.cluster_size)
        needed = self._geometry.l1_entries(mapping.size)
        self._survey.clusters[ClusterType.UNALLOCATED] = (needed - len(usable)) * entries
        if not clusters % entries:
            return
        if len(usable) and int(usable[-1]) == needed - 1:
            table = self._image.l2_table(HostOffset(int(offsets[needed - 1])))
            self._count(self._kinds(table.words()[clusters % entries :]), -1)
        else:
            self._survey.clusters[ClusterType.UNALLOCATED] -= entries - clusters % entries

    # -- L2 tables --------------------------------------------------------------------------------------------

    def _batches(self, tables: Column) -> Iterator[slice]:
        """Slices of the sorted table offsets that can be read together: neighbours, up to a few MiB."""
        size, most = self._geometry.cluster_size, max(1, _BATCH // self._geometry.cluster_size)
        start = 0
        for stop in range(1, len(tables) + 1):
            if stop == len(tables) or stop - start == most or int(tables[stop]) - int(tables[stop - 1]) != size:
                yield slice(start, stop)
                start = stop

    def _l2_tables(
        self,
        mapping: Mapping,
        tables: Column,
        first: npt.NDArray[np.intp],
        times: npt.NDArray[np.intp],
        is_active: bool,
    ) -> None:
        """Classify neighbouring L2 tables at once; ``first`` and ``times`` say which L1 entries lead to them."""
        import numpy as np

        size = len(tables) * self._geometry.cluster_size
        data = self._image.read(int(tables[0]), size)
        words = np.frombuffer(data, dtype=">u8").astype(np.uint64)
        words = words.reshape(-1, self._geometry.l2_entry_size // 8)
        kinds = self._kinds(words)
        if is_active:
            entries = self._geometry.l2_entries
            for index, weight in enumerate(times.tolist()):
                self._count(kinds[index * entries : (index + 1) * entries], weight)
        self._odd_l2(mapping, first, words, kinds)
        self._progress.advance(size)

    def _kinds(self, words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
        return classify_column(words[:, 0], extended_l2=self._geometry.extended_l2, data_file=self._image.has_data_file)

    def _count(self, kinds: npt.NDArray[np.uint8], weight: int) -> None:
        import numpy as np

        for kind, count in enumerate(np.bincount(kinds, minlength=len(ClusterType)).tolist()):
            self._survey.clusters[ClusterType(kind)] += count * weight

    def _odd_l2(
        self,
        mapping: Mapping,
        first: npt.NDArray[np.intp],
        words: npt.NDArray[np.uint64],
        kinds: npt.NDArray[np.uint8],
    ) -> None:
        import numpy as np

        entries = self._geometry.l2_entries
        for kind, mask in self._odd_masks(words, kinds):
            places = np.flatnonzero(mask)
            kept = (
                OddEntry(mapping, int(first[i // entries]), int(i % entries), int(words[i, 0])) for i in places[:KEPT]
            )
            self._survey.note(kind, len(places), kept)

    def _odd_masks(
        self, words: npt.NDArray[np.uint64], kinds: npt.NDArray[np.uint8]
    ) -> Iterator[tuple[Odd, npt.NDArray[np.bool_]]]:
        import numpy as np

        raw = words[:, 0]
        end, low = np.uint64(self._image.end), np.uint64(self._geometry.cluster_size - 1)
        at = raw & np.uint64(L2Entry.host_cluster_offset.mask)
        compressed, normal = kinds == ClusterType.COMPRESSED, kinds == ClusterType.NORMAL
        zero_alloc = kinds == ClusterType.ZERO_ALLOC
        declared = L2EntryExtended if self._geometry.extended_l2 else L2Entry
        yield Odd.L2_RESERVED, ~compressed & ((raw & np.uint64(declared.RESERVED)) != 0)
        yield Odd.L2_UNALIGNED, normal & ((at & low) != 0)
        yield Odd.L2_PREALLOC_UNALIGNED, zero_alloc & ((at & low) != 0)
        yield Odd.L2_COPIED_ONLY, (kinds == ClusterType.UNALLOCATED) & (raw >> np.uint64(63) != 0)
        if self._image.header.version < 3:
            yield Odd.L2_ZERO_V2, zero_alloc | (kinds == ClusterType.ZERO_PLAIN)
        if self._image.has_data_file:
            yield Odd.DATA_FILE, compressed
        else:
            yield Odd.L2_EOF, normal & ((at & low) == 0) & (at >= end)
            descriptor = compressed_descriptor(self._geometry.cluster_bits)
            start = raw & np.uint64(descriptor.host_offset.mask)
            yield Odd.CMP_EOF, compressed & (start - start % np.uint64(SECTOR) >= end)
        yield Odd.CMP_COPIED, compressed & (raw >> np.uint64(63) != 0)
        if self._geometry.extended_l2:
            bitmap = words[:, 1]
            both = (bitmap >> np.uint64(32)) & bitmap & np.uint64(0xFFFF_FFFF)
            allocated = bitmap & np.uint64(0xFFFF_FFFF)
            trouble = (normal & (both != 0)) | ((kinds == ClusterType.UNALLOCATED) & (allocated != 0))
            yield Odd.SUBCLUSTERS, trouble | (compressed & (bitmap != 0))
