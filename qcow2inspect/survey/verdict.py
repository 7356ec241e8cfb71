"""Completes what ``qemu-img check`` counts: L1 entries, structures, refcount blocks, refcounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.format.geometry import MAX_L1_ENTRIES
from qcow2inspect.format.mapping import L1Entry
from qcow2inspect.format.refcount import RefcountTableEntry
from qcow2inspect.survey.claims import Owner
from qcow2inspect.survey.odd import KEPT
from qcow2inspect.survey.refcounts import READABLE
from qcow2inspect.survey.regions import read_snapshot_table
from qcow2inspect.survey.tables import table_offsets

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image
    from qcow2inspect.layout.word import Column
    from qcow2inspect.survey.columns import Counts, Ints
    from qcow2inspect.survey.qemu import QemuCheck
    from qcow2inspect.survey.tables import L1Column
    from qcow2inspect.survey.usage import Stretches, Usage

__all__ = ["Verdict"]


class Verdict:
    """Fills in the counters of QEMU's check.

    Args:
        image: the image.
        usage: the use of its clusters.
        qemu: the counters; those of L2 entries are there already.

    Attributes:
        l1_copied: the first entries of the active L1 table with a wrong COPIED flag.
        l1_copied_count: how many there are.
    """

    def __init__(self, image: Image, usage: Usage, qemu: QemuCheck) -> None:
        self._image = image
        self._usage = usage
        self._qemu = qemu
        self._size = image.geometry.cluster_size
        self.l1_copied: list[int] = []
        self.l1_copied_count = 0

    def count(self, columns: list[L1Column]) -> None:
        """Count everything that is not in an L2 table."""
        self._snapshot_table()
        for column in columns:
            self._l1_entries(column)
        claims = self._usage.claims
        self._add("structure past the end", claims.beyond + claims.phantom_beyond)
        self._refcount_table()
        self._refcount_blocks()
        self._refcounts()

    def _add(self, name: str, count: int) -> None:
        if count:
            self._qemu.corruptions[name] += count

    def _snapshot_table(self) -> None:
        table = read_snapshot_table(self._image)
        if table.failed and not self._qemu.failed:
            self._qemu.failed = table.failed
            self._qemu.check_errors += 1
        self._add("incomplete snapshot table entry", table.incomplete)
        self._add("snapshots with an external data file", bool(table.l1) and self._image.has_data_file)
        crooked = [at % self._size != 0 for at, _ in table.l1]
        self._add("unaligned L1 table of a snapshot", sum(crooked))
        fits = [(at, size) for at, size in table.l1 if 0 < size <= MAX_L1_ENTRIES and not at % self._size]
        far = any(at + 8 * size > READABLE for at, size in fits)
        if far and not self._qemu.failed:
            self._qemu.failed = "the L1 table of a snapshot is beyond any possible file"
        large = [size > MAX_L1_ENTRIES and not bad for (_, size), bad in zip(table.l1, crooked, strict=True)]
        self._add("too large L1 table of a snapshot", sum(large))

    def _l1_entries(self, column: L1Column) -> None:
        import numpy as np

        for first, raw in column.blocks():
            reserved = np.count_nonzero(raw & np.uint64(L1Entry.RESERVED))
            self._add("reserved bits of an L1 entry", int(reserved) * column.times)
            unaligned = np.count_nonzero(table_offsets(raw) & (self._size - 1))
            self._add("unaligned L2 table", int(unaligned) * column.times)
            if not column.number:
                self._copied(first, raw)

    def _copied(self, first: int, raw: Column) -> None:
        """The COPIED flags of some entries of the active L1 table."""
        import numpy as np

        offsets = table_offsets(raw)
        used = np.flatnonzero(offsets)
        clusters = offsets[used] // self._size
        refcounts = self._usage.refcounts
        once = refcounts.counts.at(clusters) == 1
        readable = refcounts.unreadable(clusters, np.ones_like(clusters)) == 0
        wrong = used[(once != (raw[used] >> np.uint64(63) != 0)) & readable]
        self._add("COPIED flag of an L1 entry", len(wrong))
        self.l1_copied_count += len(wrong)
        self.l1_copied += (wrong[: KEPT - len(self.l1_copied)] + first).tolist()

    # -- refcounts ----------------------------------------------------------------------------------------------

    def _refcount_table(self) -> None:
        import numpy as np

        refcounts = self._usage.refcounts
        reserved = (refcounts.table & np.uint64(RefcountTableEntry.reserved_low.mask)) != 0
        self._add("reserved bits of a refcount table entry", int(np.count_nonzero(reserved)))
        unaligned = refcounts.unaligned & ~reserved
        self._add("unaligned refcount block", int(np.count_nonzero(unaligned)))
        outside = (refcounts.offsets // self._size >= self._usage.limit) | (refcounts.offsets < 0)
        self._add("refcount block outside the image", int(np.count_nonzero(outside & ~reserved & ~unaligned)))
        between = ~outside & ~reserved & ~unaligned & (refcounts.offsets >= self._usage.claims.end)
        clusters = refcounts.offsets[between] // self._size
        self._add("structure past the end", len(clusters))
        self._add("refcount block used twice", int(np.count_nonzero(self._usage.references_at(clusters) != 1)))

    def _refcount_blocks(self) -> None:
        """Blocks that something else claims too, in the order in which QEMU meets them."""
        import numpy as np

        metadata = self._usage.metadata
        rows = np.flatnonzero(metadata.owner == Owner.REFCOUNT_BLOCK)
        clusters = metadata.start[rows]
        if not len(rows):
            return
        total = self._usage.references_at(clusters).astype(np.int64)
        distinct, first, count = np.unique(clusters, return_index=True, return_counts=True)
        which = np.searchsorted(distinct, clusters)
        before = total - count[which]
        rank = np.arange(len(rows)) - first[which] + 1
        most = min(self._image.geometry.refcount_max, 1 << 62)
        self._add("refcount block used twice", int(np.count_nonzero(np.minimum(before + rank, most) != 1)))

    def _refcounts(self) -> None:
        highest = 0
        for part in self._usage.stretches():
            highest = max(highest, self._compare(part))
        self._qemu.image_end = (highest + 1) * self._size

    def _compare(self, part: Stretches) -> int:
        """Count the differences of some stretches; the last cluster in use of them."""
        import numpy as np

        found = part.references + part.phantom
        most = np.uint64(self._image.geometry.refcount_max)
        if (found > most).any():
            over = np.where(found > most, found - most, 0).astype(np.int64)
            self._add("refcount overflow", int((over * part.size).sum()))
            found = np.minimum(found, most)
        low, high = found > part.stored, found < part.stored
        self._add("refcount too low", int(part.size[low].sum()))
        self._qemu.leaks += int(part.size[high].sum())
        used = (found > 0) | (part.stored > 0)
        last = part.end
        if self._usage.refcounts.broken.any():
            last = self._unreadable(part, found)
        return max(0, int(last[used].max(initial=0)) - 1)

    def _unreadable(self, part: Stretches, found: Counts) -> Ints:
        """Refcounts in broken blocks: QEMU counts an error for each cluster, and no difference.

        Returns:
            For each stretch the cluster behind its last readable one; 0 if there is none.
        """
        import numpy as np

        refcounts = self._usage.refcounts
        errors = refcounts.unreadable(part.start, part.size)
        self._qemu.check_errors += int(errors.sum())
        self._add("refcount too low", -int(np.where(found > 0, errors, 0).sum()))
        last = part.end.copy()
        for index in np.flatnonzero(refcounts.broken)[::-1].tolist():
            low, high = index * refcounts.entries, (index + 1) * refcounts.entries
            last = np.where((last > low) & (last <= high), low, last)
        return np.where(last > part.start, last, 0)
