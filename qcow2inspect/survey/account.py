"""Counts, batch by batch, what L2 entries claim, what is odd about them, and what QEMU's check would count."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from qcow2inspect.format.mapping import ClusterType, L2Entry, L2EntryExtended
from qcow2inspect.survey.columns import Tally
from qcow2inspect.survey.content import classify_overwritten
from qcow2inspect.survey.odd import KEPT, Odd, OddEntry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.image.image import Image
    from qcow2inspect.image.tree import Mapping
    from qcow2inspect.survey.columns import Ints
    from qcow2inspect.survey.qemu import QemuCheck
    from qcow2inspect.survey.refcounts import StoredRefcounts
    from qcow2inspect.survey.tables import Tables
    from qcow2inspect.survey.walk import Batch

    Mask = npt.NDArray[np.bool_]

__all__ = ["Account"]

_ALLOCATED = 0xFFFF_FFFF
_SUSPICIOUS = 8
_NEAR = 1 << 16


class Account:
    """Adds up batches of L2 entries.

    Attributes:
        active: claims of guest data by the active state, compressed clusters apart.
        snapshots: the same by snapshots.
        packed: claims of compressed clusters by all states.
        phantom: claims that only QEMU's check sees, in what it takes for L2 tables.
        types: guest clusters by type for each table: ``int64``, shape (tables, 5).
        overwritten: tables that hold something else, and what.
        odd_count: number of entries that are odd in each way.
        odd: the first of them.
    """

    def __init__(
        self, image: Image, tables: Tables, refcounts: StoredRefcounts, *, states: Sequence[Mapping], limit: int
    ) -> None:
        import numpy as np

        self._image = image
        self._geometry = image.geometry
        self._end = -(-image.end // 512) * 512
        self._tables = tables
        self._refcounts = refcounts
        self._states = states
        self._phantom = tables.is_phantom
        clusters = tables.offsets >> self._geometry.cluster_bits
        readable = refcounts.unreadable(clusters, np.ones_like(clusters)) == 0
        self._is_judged = (tables.offsets != 0) & readable
        self.active, self.snapshots, self.packed, self.phantom = (Tally(limit) for _ in range(4))
        self.types = np.zeros((len(tables), len(_TYPES)), dtype=np.int64)
        self.overwritten: dict[int, str] = {}
        self.odd_count: dict[Odd, int] = {}
        self.odd: dict[Odd, list[OddEntry]] = {}

    def add(self, batch: Batch, qemu: QemuCheck) -> None:
        """Count one batch."""
        if not len(batch):
            return
        self._count_types(batch)
        self._note_partial(batch)
        if batch.is_plain:
            self._spread(batch.offset >> self._geometry.cluster_bits, batch.length, batch.table)
            self._statistics(batch, batch.stored, qemu)
            self._copied(batch, batch.stored, qemu)
            return
        trouble = dict(self._trouble(batch))
        self._find_overwritten(batch, trouble)
        weight = self._tables.weight[batch.table] * batch.length
        for name, mask in trouble.items():
            if mask.any():
                qemu.corruptions[name] += int(weight[mask].sum())
        self._claim(batch, trouble)
        self._statistics(batch, batch.stored, qemu)
        self._count_packed(batch, trouble, qemu)
        self._copied(batch, batch.stored, qemu)
        for kind, mask in self._odd_masks(batch):
            self._note(kind, batch, mask)

    # -- types ------------------------------------------------------------------------------------------------

    def _count_types(self, batch: Batch) -> None:
        import numpy as np

        first, last = int(batch.table[0]), int(batch.table[-1])
        slot = (batch.table - first) * len(_TYPES) + batch.kind
        counts = np.bincount(slot, weights=batch.length, minlength=(last - first + 1) * len(_TYPES))
        self.types[first : last + 1] += counts.astype(np.int64).reshape(-1, len(_TYPES))

    # -- what QEMU calls corruption -----------------------------------------------------------------------------

    def _trouble(self, batch: Batch) -> Iterator[tuple[str, Mask]]:
        """What QEMU's check counts as corruption, one for each entry; kinds that exclude each other in this order."""
        import numpy as np

        compressed, stored, raw = batch.compressed, batch.stored, batch.raw
        size = self._geometry.cluster_size
        yield "reserved bits of an L2 entry", ~compressed & ((raw & np.uint64(L2Entry.RESERVED)) != 0)
        skipped = np.zeros(len(raw), dtype=bool)
        if batch.bitmap is not None:
            low, high = batch.bitmap & np.uint64(_ALLOCATED), batch.bitmap >> np.uint64(32)
            yield "bad subcluster bitmap", stored & ((low & high) != 0)
            yield "subcluster bitmap of an unallocated entry", (batch.kind == ClusterType.UNALLOCATED) & (low != 0)
            skipped = compressed & (batch.bitmap != 0)
        yield "unaligned cluster", stored & ((batch.offset & (size - 1)) != 0)
        if compressed.any():
            yield "COPIED flag of a compressed cluster", compressed & (raw >> np.uint64(63) != 0)
            if self._image.has_data_file:
                skipped = compressed
            yield "compressed cluster that must not be", skipped
            past = compressed & ~skipped & (batch.offset + batch.stream - self._end >= size)
            yield "compressed cluster past the end", past
        if not self._image.has_data_file:
            yield "cluster past the end", stored & (batch.offset >= self._end)

    def _find_overwritten(self, batch: Batch, trouble: dict[str, Mask]) -> None:
        """Tables that hold something else: what seem to be their entries are neither claims nor odd entries."""
        import numpy as np

        bad = self._senseless(batch, trouble)
        if np.count_nonzero(bad) < _SUSPICIOUS:
            return
        first = int(batch.table[0])
        used = np.bincount(batch.table - first, weights=batch.length)
        wrong = np.bincount(batch.table - first, weights=batch.length * bad)
        garbage = np.bincount(batch.table - first, weights=batch.length * (bad & ~self._may_be_entries(batch)))
        for place in np.flatnonzero((wrong >= _SUSPICIOUS) & (2 * wrong >= used)).tolist():
            if not self._phantom[first + place]:
                full = bool(used[place] >= self._geometry.l2_entries // 2)
                self._judge(first + place, hopeless=full and bool(garbage[place] == used[place]))

    def _senseless(self, batch: Batch, trouble: dict[str, Mask]) -> Mask:
        """The entries that QEMU calls corrupt, and those that lead to a foreign place of the data file."""
        import numpy as np

        bad = np.zeros(len(batch), dtype=bool)
        for mask in trouble.values():
            bad |= mask
        return bad | (batch.stored & (batch.offset != self._guest(batch))) if self._image.has_data_file else bad

    def _may_be_entries(self, batch: Batch) -> Mask:
        """Entries that could be some if the end of the file is lost, or the header gives a wrong size of clusters."""
        import numpy as np

        near = batch.offset - self._end < _NEAR << self._geometry.cluster_bits
        flags = np.where(
            batch.compressed, batch.raw >> np.uint64(63) != 0, (batch.raw & np.uint64(L2Entry.RESERVED & ~1)) != 0
        )
        sound: Mask = near & ~flags
        return sound

    def _judge(self, table: int, *, hopeless: bool = False) -> None:
        """Look at the bytes of a table: if they are known to be something else, it has no entries."""
        at = int(self._tables.offsets[table])
        data = self._image.read(at, self._geometry.cluster_size)
        kind = classify_overwritten(data, self._geometry, hopeless=hopeless)
        if kind:
            self.overwritten[table] = kind
            self._phantom[table] = True

    # -- claims -------------------------------------------------------------------------------------------------

    def _claim(self, batch: Batch, trouble: dict[str, Mask]) -> None:
        if self._image.has_data_file:
            return
        import numpy as np

        stored = batch.stored & ~trouble["cluster past the end"]
        bits = self._geometry.cluster_bits
        crooked = stored & trouble["unaligned cluster"]
        if crooked.any():  # a reader refuses them: only QEMU's check takes them for two clusters
            start, length = batch.offset[crooked] >> bits, batch.length[crooked]
            weight = self._tables.weight[batch.table[crooked]]
            self.phantom.add(start, length, weight)
            self.phantom.add(start + 1, length, weight)
            stored &= ~crooked
        if stored.any():
            self._spread(batch.offset[stored] >> bits, batch.length[stored], batch.table[stored])
        if "compressed cluster past the end" in trouble:
            ok = batch.compressed & ~trouble["compressed cluster that must not be"]
            ok &= ~trouble["compressed cluster past the end"]
            start = batch.offset[ok] >> bits
            length = ((batch.offset[ok] + batch.stream[ok] - 1) >> bits) - start + 1
            table = batch.table[ok]
            weight = self._tables.weight[table]
            phantom = self._phantom[table]
            if phantom.any():
                self.phantom.add(start[phantom], length[phantom], weight[phantom])
                keep = ~phantom
                start, length, weight = start[keep], length[keep], weight[keep]
            self.packed.add(start, length, np.asarray(weight))

    def _spread(self, start: Ints, length: Ints, table: Ints) -> None:
        """Claim clusters for the states that lead to their tables."""
        phantom = self._phantom[table]
        if phantom.any():
            weight = self._tables.weight[table]
            self.phantom.add(start[phantom], length[phantom], weight[phantom])
            keep = ~phantom
            start, length, table = start[keep], length[keep], table[keep]
        for tally, weights in ((self.active, self._tables.active), (self.snapshots, self._tables.snapshot)):
            weight = weights[table]
            some = weight > 0
            if some.all():
                tally.add(start, length, weight)
            elif some.any():
                tally.add(start[some], length[some], weight[some])

    # -- statistics ---------------------------------------------------------------------------------------------

    def _statistics(self, batch: Batch, stored: Mask, qemu: QemuCheck) -> None:
        """Guest clusters of the active state with a host cluster, and how often the next one lies elsewhere."""
        import numpy as np

        active = self._tables.active[batch.table]
        qemu.allocated_clusters += int((active * batch.length)[stored].sum())
        index = slice(None) if batch.is_plain else np.flatnonzero(stored)
        start, table = batch.offset[index], batch.table[index]
        end = start + (batch.length[index] << self._geometry.cluster_bits)
        jumps = (start[1:] != end[:-1]) & (table[1:] == table[:-1])
        qemu.fragmented_clusters += int(active[index][1:][jumps].sum())

    def _count_packed(self, batch: Batch, trouble: dict[str, Mask], qemu: QemuCheck) -> None:
        """Compressed clusters of the active state; QEMU calls each of them fragmented."""
        if "compressed cluster past the end" not in trouble:
            return
        counted = batch.compressed & ~trouble["compressed cluster that must not be"]
        packed = int(self._tables.active[batch.table][counted].sum())
        qemu.allocated_clusters += packed
        qemu.compressed_clusters += packed
        qemu.fragmented_clusters += packed

    # -- COPIED -------------------------------------------------------------------------------------------------

    def _copied(self, batch: Batch, stored: Mask, qemu: QemuCheck) -> None:
        """Compare the COPIED flags of active entries with the stored refcounts."""
        import numpy as np

        weight = self._tables.active[batch.table]
        checked = stored & (weight > 0) & self._is_judged[batch.table]
        index = np.flatnonzero(checked)
        start, length = batch.offset[index] >> self._geometry.cluster_bits, batch.length[index]
        ones = length if self._image.has_data_file else self._refcounts.counts.ones(start, length)
        flag = batch.raw[index] >> np.uint64(63) != 0
        wrong = np.where(flag, length - ones, ones)
        if not wrong.any():
            return
        if not self._image.has_data_file and self._refcounts.broken.any():
            wrong = np.where(flag, np.maximum(0, wrong - self._refcounts.unreadable(start, length)), wrong)
        if wrong.any():
            qemu.corruptions["COPIED flag of an L2 entry"] += int((wrong * weight[index]).sum())
            runs = index[(wrong > 0) & ~self._phantom[batch.table[index]]]
            count = int(wrong[~self._phantom[batch.table[index]]].sum())
            kind = Odd.DF_COPIED if self._image.has_data_file else Odd.L2_COPIED
            self._note_entries(kind, self._wrongly_copied(batch, runs), count)

    def _wrongly_copied(self, batch: Batch, runs: Ints) -> Iterator[OddEntry]:
        """The entries of some runs whose COPIED flag says something else than the refcount."""
        import numpy as np

        for run in runs.tolist():
            entries = list(self._entries(batch, run, int(batch.length[run])))
            if self._image.has_data_file:
                yield from entries
                continue
            first = int(batch.offset[run]) >> self._geometry.cluster_bits
            once = self._refcounts.counts.at(np.arange(first, first + len(entries))) == 1
            yield from (
                entry for entry, one in zip(entries, once.tolist(), strict=True) if one != bool(entry.raw >> 63)
            )

    # -- odd entries --------------------------------------------------------------------------------------------

    def _odd_masks(self, batch: Batch) -> Iterator[tuple[Odd, Mask]]:
        import numpy as np

        raw, kind, offset = batch.raw, batch.kind, batch.offset
        compressed, normal = batch.compressed, kind == ClusterType.NORMAL
        zero_alloc = kind == ClusterType.ZERO_ALLOC
        low = self._geometry.cluster_size - 1
        declared = L2EntryExtended if self._geometry.extended_l2 else L2Entry
        yield Odd.L2_RESERVED, ~compressed & ((raw & np.uint64(declared.RESERVED & ~1)) != 0)
        yield Odd.L2_UNALIGNED, normal & ((offset & low) != 0)
        yield Odd.L2_PREALLOC_UNALIGNED, zero_alloc & ((offset & low) != 0)
        yield Odd.L2_COPIED_ONLY, self._copied_only(batch)
        if self._image.header.version < 3:
            yield Odd.L2_ZERO_V2, zero_alloc | (kind == ClusterType.ZERO_PLAIN)
        if self._image.has_data_file:
            yield Odd.DATA_FILE, compressed
            yield Odd.DF_OFFSET, batch.stored & ((offset & low) == 0) & (offset != self._guest(batch))
        else:
            yield Odd.L2_EOF, batch.stored & ((offset & low) == 0) & (offset >= self._image.end)
            yield Odd.CMP_EOF, compressed & (offset - offset % 512 >= self._image.end)
        yield Odd.CMP_HIGHBITS, compressed & (offset >> 56 != 0)
        yield Odd.CMP_COPIED, compressed & (raw >> np.uint64(63) != 0)
        if batch.bitmap is not None:
            yield from self._odd_subclusters(batch, batch.bitmap)

    def _note_partial(self, batch: Batch) -> None:
        """Entries that lead to the last cluster of a file that ends inside it; they are runs of their own."""
        tail = self._image.end % self._geometry.cluster_size
        if tail and not self._image.has_data_file:
            partial = (batch.kind == ClusterType.NORMAL) & (batch.offset == self._image.end - tail)
            self._note(Odd.L2_EOF_PARTIAL, batch, partial)

    def _copied_only(self, batch: Batch) -> Mask:
        """COPIED without a host cluster; at the start of a data file the host offset of a zero cluster is 0."""
        import numpy as np

        unused = (batch.kind == ClusterType.UNALLOCATED) | (batch.kind == ClusterType.ZERO_PLAIN)
        found: Mask = unused & (batch.raw >> np.uint64(63) != 0)
        return found & (self._guest(batch) != 0) if self._image.has_data_file else found

    def _guest(self, batch: Batch) -> Ints:
        """The guest offset of each run, under the first L1 entry that leads to its table."""
        cluster = self._tables.l1_index[batch.table] * self._geometry.l2_entries + batch.index
        return cluster << self._geometry.cluster_bits

    def _odd_subclusters(self, batch: Batch, bitmap: npt.NDArray[np.uint64]) -> Iterator[tuple[Odd, Mask]]:
        import numpy as np

        normal, allocated = batch.kind == ClusterType.NORMAL, bitmap & np.uint64(_ALLOCATED)
        yield Odd.SUBCLUSTERS, normal & (((bitmap >> np.uint64(32)) & allocated) != 0)
        yield Odd.ALLOC_NOHOST, (batch.kind == ClusterType.UNALLOCATED) & (allocated != 0)
        yield Odd.CMP_BITMAP, batch.compressed & (bitmap != 0)
        yield Odd.EXT_BIT0, ~batch.compressed & ((batch.raw & np.uint64(1)) != 0)

    def _note(self, kind: Odd, batch: Batch, mask: Mask) -> None:
        """Keep the entries of runs that are odd in one way; entries of phantom tables are none."""
        import numpy as np

        if not mask.any():
            return
        places = np.flatnonzero(mask & ~self._phantom[batch.table])
        entries = (entry for place in places.tolist() for entry in self._entries(batch, place, KEPT))
        self._note_entries(kind, entries, int(batch.length[places].sum()))

    def _note_entries(self, kind: Odd, entries: Iterator[OddEntry], count: int) -> None:
        if count:
            self.odd_count[kind] = self.odd_count.get(kind, 0) + count
            kept = self.odd.setdefault(kind, [])
            kept.extend(itertools.islice(entries, KEPT - len(kept)))

    def _entries(self, batch: Batch, place: int, most: int) -> Iterator[OddEntry]:
        """The first entries of a run, at most ``most``."""
        table, index, raw = int(batch.table[place]), int(batch.index[place]), int(batch.raw[place])
        mapping = self._states[int(self._tables.state[table])]
        step = self._geometry.cluster_size if raw > 1 else 0
        for i in range(min(most, int(batch.length[place]))):
            yield OddEntry(mapping, int(self._tables.l1_index[table]), index + i, raw + i * step)


_TYPES = (
    ClusterType.UNALLOCATED,
    ClusterType.ZERO_PLAIN,
    ClusterType.ZERO_ALLOC,
    ClusterType.NORMAL,
    ClusterType.COMPRESSED,
)
