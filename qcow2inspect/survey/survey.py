"""One pass over all metadata of an image: who owns each host cluster, what the refcounts say, what is odd.

Every L2 table is read once, however many L1 entries lead to it, so that an image whose entries all name one table
costs no more than an honest one. A table that the header puts at an impossible place or makes impossibly large is not
looked at: what stands there is no table. Neither backing file nor data file nor key is needed.

::

    refcount blocks ----> stored refcounts --------------------+
    L1 tables -> L2 tables, each once -> runs of entries --+   +--> overlay: per host cluster who claims it, how often,
    header, snapshot table, LUKS header, bitmaps ------> claims -+           and what is stored
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from qcow2inspect.format.geometry import MAX_L1_ENTRIES, SECTOR
from qcow2inspect.format.mapping import ClusterType, L1Entry, classify_column
from qcow2inspect.format.refcount import RefcountTableEntry
from qcow2inspect.image.table import Table
from qcow2inspect.image.tree import Mapping, Tree
from qcow2inspect.layout.node import Lazy
from qcow2inspect.progress import Silent
from qcow2inspect.survey.account import Account
from qcow2inspect.survey.content import REFCOUNTS, classify_overwritten
from qcow2inspect.survey.faults import Fault, Faults, clusters_of, find_faults
from qcow2inspect.survey.odd import KEPT, Odd, OddEntry
from qcow2inspect.survey.qemu import QemuCheck
from qcow2inspect.survey.refcounts import StoredRefcounts, read_refcounts
from qcow2inspect.survey.referrers import find_referrers
from qcow2inspect.survey.regions import SnapshotTable, claim_metadata, open_refusal, read_snapshot_table
from qcow2inspect.survey.tables import (
    MAX_CROOKED_TABLES,
    MAX_L1_TOTAL,
    L1Column,
    Tables,
    gather_tables,
    read_l1,
    table_offsets,
)
from qcow2inspect.survey.usage import Usage
from qcow2inspect.survey.verdict import Verdict
from qcow2inspect.survey.walk import read_batches
from qcow2inspect.units import HostOffset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.image import Image
    from qcow2inspect.layout.word import Column
    from qcow2inspect.progress import Progress
    from qcow2inspect.survey.deep import Deep

__all__ = ["KEPT", "Odd", "OddEntry", "Survey", "take_survey"]

_KEPT_ENTRIES = 1 << 20
_FEWEST = 8
_WITH_HOST = (ClusterType.ZERO_ALLOC, ClusterType.NORMAL, ClusterType.COMPRESSED)
_CONCERNING = (
    Fault.DATA_IN_METADATA,
    Fault.MIXED_DATA,
    Fault.SHARED,
    Fault.OVERFLOW,
    Fault.REF_ZERO,
    Fault.BLOCK_MISSING,
    Fault.REF_LOW,
)


@dataclass
class Survey:
    """What is known about an image.

    Attributes:
        image: the image.
        tree: its structure.
        clusters: guest clusters of the active state by type.
        l2_tables: distinct L2 tables, of the active state and of all snapshots.
        l1_used: L1 entries of the active state with an L2 table.
        odd_count: number of entries that are odd in each way.
        odd: the first :data:`KEPT` of them.
        qemu: what ``qemu-img check`` says.
        usage: who claims each host cluster, and the stored refcounts; None if only the header was looked at.
        tables: the L2 tables; None if only the header was looked at.
        l1_columns: the L1 tables, equal ones of several snapshots once.
        states: the active state and all snapshots.
        overwritten: tables (their index in ``tables``) that hold something else than entries, and what.
        table_types: guest clusters by type for each table, shape (tables, 5).
        chain: the image with the files it names; None if nobody followed them.
        deep: what the content of the file says; None if nobody looked.
        skipped: what was left out because there is more of it than any sound image has; then QEMU's numbers differ.
    """

    image: Image
    tree: Tree
    clusters: dict[ClusterType, int] = field(default_factory=dict)
    l2_tables: int = 0
    l1_used: int = 0
    odd_count: dict[Odd, int] = field(default_factory=dict)
    odd: dict[Odd, list[OddEntry]] = field(default_factory=dict)
    qemu: QemuCheck = field(default_factory=QemuCheck)
    usage: Usage | None = None
    tables: Tables | None = None
    l1_columns: list[L1Column] = field(default_factory=list)
    states: Sequence[Mapping] = ()
    overwritten: dict[int, str] = field(default_factory=dict)
    table_types: npt.NDArray[np.int64] | None = None
    chain: Chain | None = None
    deep: Deep | None = None
    skipped: list[str] = field(default_factory=list)

    @classmethod
    def of_header(cls, image: Image) -> Survey:
        """A survey that has looked at nothing but the header."""
        return cls(image, Tree(image))

    @property
    def has_tables(self) -> bool:
        """True if the tables were read; False if only the header was looked at."""
        return self.usage is not None

    @property
    def complete(self) -> bool:
        """True if nothing that was asked for was left out; False too if only the header was looked at."""
        return self.has_tables and not self.skipped and not (self.deep and self.deep.skipped)

    @cached_property
    def faults(self) -> Faults:
        """Host clusters that are used or counted wrongly; none if only the header was looked at."""
        if self.usage is None:
            return Faults()
        return find_faults(self.usage, self.image.geometry.refcount_max)

    @cached_property
    def referrers(self) -> dict[int, list[OddEntry]]:
        """Host cluster -> L2 entries that claim it, for the first clusters with a fault that concerns guest data."""
        import numpy as np

        if self.tables is None:
            return {}
        clusters = clusters_of(self.faults.first(*_CONCERNING), KEPT)
        skipped = np.array(sorted(self.overwritten), dtype=np.int64)
        return find_referrers(self.image, self.tables, self.states, clusters=clusters, skipped=skipped)

    @property
    def empty_tables(self) -> npt.NDArray[np.intp]:
        """L2 tables of the active state, by index, in which every entry is zero."""
        import numpy as np

        if self.tables is None or self.table_types is None:
            return np.zeros(0, dtype=np.intp)
        used = (self.tables.active > 0) & ~self.tables.is_phantom & (self.tables.offsets < self.image.end)
        return np.flatnonzero(used & (self.table_types.sum(axis=1) == 0))

    @property
    def is_wiped(self) -> bool:
        """True if empty L2 tables and orphaned clusters fit together: no more clusters than lost tables could map."""
        empty = len(self.empty_tables)
        if not empty:
            return False
        lost = empty + len(self.overwritten)
        return 0 < self.faults.count.get(Fault.ORPHAN, 0) <= lost * self.image.geometry.l2_entries

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


def take_survey(image: Image, progress: Progress | None = None, chain: Chain | None = None) -> Survey:
    """Read all metadata of an image.

    The memory that it takes is bounded by the file, not by what the image claims: up to 32 MiB of batches and kept
    entries; two bytes for each host cluster of the file where claims or refcounts lie in no order, nothing where they
    are in order; about 300 bytes for each L2 table that the file stores, and for
    :data:`~qcow2inspect.survey.tables.MAX_EMPTY_TABLES` others. What is left out for that is in :attr:`Survey.skipped`.

    Args:
        image: the image; its backing file, data file or key is not needed.
        progress: told about every batch of tables, in bytes.
        chain: the image with the files it names, for the rules about them.

    Raises:
        CannotRead: the image file cannot be read.
        Cancelled: the user asked to stop.
    """
    survey = _Surveyor(image, progress or Silent()).run()
    survey.chain = chain
    return survey


class _Surveyor:
    def __init__(self, image: Image, progress: Progress) -> None:
        self._survey = Survey.of_header(image)
        self._image = image
        self._geometry = image.geometry
        self._progress = progress
        self._refused = {obstacle.code for obstacle in image.obstacles}

    def run(self) -> Survey:
        survey, image = self._survey, self._image
        qemu = survey.qemu
        qemu.failed = open_refusal(image)
        qemu.total_clusters = self._geometry.host_clusters(image.header.size // SECTOR * SECTOR)
        limit = self._geometry.host_clusters(-(-image.end // SECTOR) * SECTOR)
        refcounts = read_refcounts(image, limit)
        if refcounts.left_out:
            repeated = f"{refcounts.left_out:,} entries of the refcount table"
            survey.skipped.append(f"{repeated}: they lead to refcount blocks that other entries have led to")
        self._odd_refcount_table(refcounts)
        columns = self._l1_columns()
        for column in columns:
            self._odd_l1(column)
        needed = self._geometry.l1_entries(image.header.size) if image.header.size >> 63 == 0 else 0
        tables, left_out = gather_tables(image, columns, needed)
        if left_out:
            survey.skipped.append(f"{left_out:,} L1 entries: they lead to further L2 tables that hold nothing")
        account = Account(image, tables, refcounts, states=self._states, limit=limit + 1)
        self._walk(tables, account)
        self._count(columns[0] if columns else None, tables, account)
        claims = claim_metadata(image, columns, tables, refcounts, account)
        if claims.uncounted:
            survey.skipped.append(f"{claims.uncounted:,} bitmap table entries: what they name shows as leaked")
        if image.extensions.left_out:
            survey.skipped.append(f"{image.extensions.left_out:,} header extensions")
        survey.tables = tables
        survey.odd_count |= account.odd_count
        survey.odd |= account.odd
        survey.l1_columns, survey.states, survey.overwritten = columns, self._states, account.overwritten
        survey.table_types = account.types
        survey.usage = Usage(account, claims, refcounts, limit)
        survey.overwritten |= dict.fromkeys(self._tables_of_ones(), REFCOUNTS)
        verdict = Verdict(image, survey.usage, qemu)
        verdict.count(columns)
        if verdict.l1_copied:
            wrong = verdict.l1_copied
            l1 = columns[0].mapping.l1
            entries = (OddEntry(columns[0].mapping, i, None, l1[i].raw) for i in wrong[:KEPT])
            survey.note(Odd.L1_COPIED, verdict.l1_copied_count, entries)
        self._judge_copied()
        if image.changed:
            survey.skipped.append("the file as one whole: somebody wrote to it while it was read")
        return survey

    def _tables_of_ones(self) -> list[int]:
        """Tables that read as zeros and are refcount blocks just as well, while clusters exist that nothing points to.

        Only a refcount of 64 bits is as wide as an entry: a block of ones is a table of zero clusters.
        """
        import numpy as np

        survey, geometry = self._survey, self._geometry
        tables, types = survey.tables, survey.table_types
        if tables is None or types is None or geometry.refcount_bits != 64 or geometry.extended_l2:
            return []
        zeros = types[:, ClusterType.ZERO_PLAIN] >= _FEWEST
        bare = (types[:, list(_WITH_HOST)].sum(axis=1) == 0) & ~tables.is_phantom & (tables.active > 0)
        found = [
            table for table in np.flatnonzero(zeros & bare).tolist() if self._are_counts(int(tables.offsets[table]))
        ]
        orphans = survey.faults.count.get(Fault.ORPHAN, 0) if found else 0
        return found if 0 < orphans <= len(found + list(survey.overwritten)) * geometry.l2_entries else []

    def _are_counts(self, at: int) -> bool:
        return classify_overwritten(self._image.read(at, self._geometry.cluster_size), self._geometry) == REFCOUNTS

    def _judge_copied(self) -> None:
        """A COPIED flag that fits the references is right, and only the refcount is wrong: no odd entry."""
        import numpy as np

        survey, bits = self._survey, self._geometry.cluster_bits
        if survey.usage is None:
            return
        for kind in (Odd.L1_COPIED, Odd.L2_COPIED):
            kept = survey.odd.get(kind, [])
            if not kept:
                continue
            offset = int(L1Entry.l2_table_offset.mask)
            clusters = np.array([(entry.raw & offset) >> bits for entry in kept], dtype=np.int64)
            references = survey.usage.references_at(clusters).tolist()
            rows = zip(kept, references, strict=True)
            wrong = [entry for entry, count in rows if count and (count == 1) != bool(entry.raw >> 63)]
            survey.odd[kind] = wrong
            if not wrong or survey.odd_count[kind] <= KEPT:
                survey.odd_count[kind] = len(wrong)

    # -- refcount table ---------------------------------------------------------------------------------------

    def _odd_refcount_table(self, refcounts: StoredRefcounts) -> None:
        import numpy as np

        column = refcounts.table
        entry: RefcountTableEntry[npt.NDArray[np.uint64]] = RefcountTableEntry(column)
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

    def _l1_columns(self) -> list[L1Column]:
        """The L1 tables that are where a table can be; equal ones of several snapshots once."""
        columns = []
        if not self._refused & {"QCOW-HDR-L1-LARGE", "QCOW-HDR-L1-OFFSET"}:
            columns.append(read_l1(self._image, self._survey.tree.active, 0, keep=True))
        if self._refused & {"QCOW-HDR-SNAP-COUNT", "QCOW-HDR-SNAP-OFFSET"}:
            return columns
        seen: dict[tuple[int, int], list[int]] = {}
        for number, (at, size) in enumerate(self._snapshots.l1, 1):
            if not at & (self._geometry.cluster_size - 1) and size <= MAX_L1_ENTRIES:
                seen.setdefault((at, size), []).append(number)
        left = MAX_L1_TOTAL
        for (_, size), numbers in seen.items():
            left -= size
            if left < 0:
                self._survey.skipped.append(f"snapshots from number {numbers[0]} on: too many L1 entries")
                break
            keep = MAX_L1_TOTAL - left < _KEPT_ENTRIES
            state = self._states[numbers[0]]
            columns.append(read_l1(self._image, state, numbers[0], times=len(numbers), keep=keep))
        return columns

    @cached_property
    def _states(self) -> Sequence[Mapping]:
        """The active state and all snapshots, with those whose table entry is cut off by the end of the file."""
        states, l1 = self._survey.tree.mappings, self._snapshots.l1
        whole = len(states)

        def cut_off(number: int) -> Mapping:
            at, size = l1[number]
            table = Table(HostOffset(at), min(size, MAX_L1_ENTRIES), L1Entry[int], self._image.read)
            return Mapping(f"snap[{number}].", f"snapshot {number}", table, self._image.header.size)

        return Lazy(max(whole, 1 + len(l1)), lambda index: states[index] if index < whole else cut_off(index - 1))

    @cached_property
    def _snapshots(self) -> SnapshotTable:
        return read_snapshot_table(self._image)

    def _odd_l1(self, l1: L1Column) -> None:
        for first, raw in l1.blocks():
            for kind, mask in self._odd_masks(raw).items():
                self._note_l1(kind, l1, first, raw, mask)

    def _odd_masks(self, raw: Column) -> dict[Odd, npt.NDArray[np.bool_]]:
        import numpy as np

        offsets = table_offsets(raw)
        return {
            Odd.L1_RESERVED: (raw & np.uint64(L1Entry.RESERVED)) != 0,
            Odd.L1_UNALIGNED: (offsets & (self._geometry.cluster_size - 1)) != 0,
            Odd.L1_EOF: (offsets != 0) & (offsets + self._geometry.cluster_size > self._image.end),
            Odd.L1_FLAGS_ONLY: (offsets == 0) & (raw != 0),
        }

    def _note_l1(self, kind: Odd, l1: L1Column, first: int, raw: Column, mask: npt.NDArray[np.bool_]) -> None:
        import numpy as np

        places = np.flatnonzero(mask)
        entries = (OddEntry(l1.mapping, first + i, None, int(raw[i])) for i in places[:KEPT].tolist())
        self._survey.note(kind, len(places), entries)

    # -- L2 tables --------------------------------------------------------------------------------------------

    def _walk(self, tables: Tables, account: Account) -> None:
        import numpy as np

        size = self._geometry.cluster_size
        index = np.arange(len(tables))
        crooked = np.flatnonzero(tables.is_phantom)
        if len(crooked) > MAX_CROOKED_TABLES:
            index = np.delete(index, crooked[MAX_CROOKED_TABLES:])
            self._survey.skipped.append(f"{len(tables) - len(index):,} L2 tables at places where no table can be")
        self._progress.begin("Reading tables", len(index) * size)
        for done, batch in read_batches(self._image, tables.offsets, index):
            account.add(batch, self._survey.qemu)
            self._progress.advance(done)
        self._survey.l2_tables = int(np.count_nonzero(~tables.is_phantom & (tables.offsets < self._image.end)))

    def _count(self, active: L1Column | None, tables: Tables, account: Account) -> None:
        """Guest clusters of the active disk by type."""
        import numpy as np

        survey, geometry = self._survey, self._geometry
        survey.clusters = dict.fromkeys(ClusterType, 0)
        if active is None:
            return
        size = survey.tree.active.size
        usable = (tables.mapped > 0) & ~tables.is_phantom & (tables.offsets < self._image.end)
        weight = np.where(usable, tables.mapped, 0)
        for kind, count in enumerate((account.types * weight[:, None]).sum(axis=0).tolist()):
            survey.clusters[ClusterType(kind)] = int(count)
        survey.l1_used = sum(int(np.count_nonzero(table_offsets(raw))) for _, raw in active.blocks())
        clusters = -(-size // geometry.cluster_size)
        mapped = sum(survey.clusters.values())
        survey.clusters[ClusterType.UNALLOCATED] += geometry.l1_entries(size) * geometry.l2_entries - mapped
        self._cut_tail(active, clusters)

    def _cut_tail(self, active: L1Column, clusters: int) -> None:
        """Take off the entries of the last table that lie past the end of the disk."""
        import numpy as np

        geometry, counts = self._geometry, self._survey.clusters
        if not clusters % geometry.l2_entries:
            return
        last = clusters // geometry.l2_entries
        at = active.offset(last)
        beyond = geometry.l2_entries - clusters % geometry.l2_entries
        if not at or at % geometry.cluster_size or at >= self._image.end:
            counts[ClusterType.UNALLOCATED] -= beyond
            return
        words = self._image.l2_table(HostOffset(at)).words()[clusters % geometry.l2_entries :, 0]
        kinds = classify_column(words, extended_l2=geometry.extended_l2, data_file=self._image.has_data_file)
        for kind, count in enumerate(np.bincount(kinds, minlength=len(ClusterType)).tolist()):
            counts[ClusterType(kind)] -= count
