"""All L2 tables of an image, each once, with the L1 entries that lead to them counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.format.mapping import L1Entry
from qcow2inspect.survey.walk import in_data

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.image.image import Image
    from qcow2inspect.image.tree import Mapping
    from qcow2inspect.layout.word import Column
    from qcow2inspect.survey.columns import Ints

__all__ = [
    "MAX_CROOKED_TABLES",
    "MAX_EMPTY_TABLES",
    "MAX_L1_TOTAL",
    "L1Column",
    "Tables",
    "gather_tables",
    "read_l1",
    "table_offsets",
]

MAX_L1_TOTAL = 64 << 20
"""L1 entries of all snapshots together that are looked at; more than QEMU can be asked to check in an hour."""
MAX_CROOKED_TABLES = 4096
"""L2 tables at unaligned places that are looked at, which only QEMU's check does at all."""
MAX_EMPTY_TABLES = 1 << 17
"""L2 tables in holes of the file, past its end or at unaligned places that are counted; they hold no entries."""
_BLOCK = 1 << 17


@dataclass(frozen=True)
class L1Column:
    """The L1 table of one state; many entries are read when they are looked at, and take no memory.

    Attributes:
        number: 0 for the active state, 1 for the first snapshot, and so on.
        mapping: the state.
        count: its entries that are in the file, without the zeros at the end.
        times: how many states have this very table.
        kept: the entries, if they are few; None if they are read again.
    """

    number: int
    mapping: Mapping
    count: int
    times: int = 1
    kept: Column | None = None

    def __len__(self) -> int:
        return self.count

    def blocks(self, start: int = 0) -> Iterator[tuple[int, Column]]:
        """Some entries at a time, as stored, from entry ``start`` on: index of the first, and the entries.

        Raises:
            CannotRead: the image file cannot be read.
        """
        read = self.mapping.l1.column if self.kept is None else lambda first, stop: self.kept[first:stop]
        for first in range(start, self.count, _BLOCK):
            yield first, read(first, min(first + _BLOCK, self.count))

    def offset(self, index: int) -> int:
        """Where the L2 table of an entry lies; 0 for none, and behind the last entry."""
        return int(self.mapping.l1[index].l2_table_offset) if index < self.count else 0


def table_offsets(raw: Column) -> Ints:
    """Where the L2 tables of L1 entries lie; 0 for none."""
    import numpy as np

    return (raw & np.uint64(L1Entry.l2_table_offset.mask)).view(np.int64)


def read_l1(image: Image, mapping: Mapping, number: int, *, times: int = 1, keep: bool = False) -> L1Column:
    """The entries of an L1 table that the file holds; ``keep`` them if they are few."""
    import numpy as np

    kept: Column | None = None
    stored = max(0, min(len(mapping.l1), -(-(image.end - mapping.l1.at) // 8)))
    count = 0
    for first, raw in L1Column(number, mapping, stored).blocks():
        used = np.flatnonzero(raw)
        count = first + int(used[-1]) + 1 if len(used) else count
        kept = raw if keep and stored <= _BLOCK else None
    return L1Column(number, mapping, count, times, kept)


@dataclass(frozen=True)
class Tables:
    """The L2 tables of all states, in order of host offset; all columns have one entry for each table.

    Attributes:
        offsets: host offset. One that is 0 or no multiple of the cluster size is where no table can be
            (:attr:`is_phantom`); QEMU's check looks at it all the same.
        active: L1 entries of the active state that lead to it.
        snapshot: L1 entries of snapshots that lead to it.
        mapped: L1 entries of the active state, within the disk, through which a reader uses it.
        state: number of the first state that leads to it.
        l1_index: the first L1 entry of that state that does.
    """

    offsets: Ints
    active: Ints
    snapshot: Ints
    mapped: Ints
    state: Ints
    l1_index: Ints
    cluster_size: int

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def is_phantom(self) -> npt.NDArray[np.bool_]:
        """True where no table can be: an entry without an offset, or with an unaligned one."""
        phantom: npt.NDArray[np.bool_] = (self.offsets == 0) | ((self.offsets & (self.cluster_size - 1)) != 0)
        return phantom

    @property
    def weight(self) -> Ints:
        """L1 entries of all states that lead to the table."""
        return self.active + self.snapshot


def gather_tables(image: Image, columns: list[L1Column], l1_needed: int) -> tuple[Tables, int]:
    """The tables that L1 tables lead to.

    Args:
        image: the image.
        columns: the L1 tables, that of the active state first.
        l1_needed: L1 entries that the active disk needs; what further ones lead to is not part of it.

    Returns:
        The tables, and the number of L1 entries that lead to more than :data:`MAX_EMPTY_TABLES` tables that hold
        nothing, which were left out.
    """
    gathering = _Gathering(image)
    for column in columns:
        for first, raw in column.blocks():
            gathering.add(_part(column, first, raw, l1_needed))
    offsets, active, snapshot, mapped, state, l1_index = gathering.merged()
    tables = Tables(offsets, active, snapshot, mapped, state, l1_index, image.geometry.cluster_size)
    return tables, gathering.left_out


class _Gathering:
    """Joins parts of L1 tables, rows offset, active, snapshot, mapped, state, l1_index; no more than are needed."""

    def __init__(self, image: Image) -> None:
        import numpy as np

        self._image = image
        self._parts = [np.zeros((6, 0), dtype=np.int64)]
        self.left_out = 0

    def add(self, part: Ints) -> None:
        """Take some more tables."""
        self._parts.append(part)
        if sum(each.shape[1] for each in self._parts[1:]) > _BLOCK:
            self.merged()

    def merged(self) -> Ints:
        """All tables so far, each once, in order of offset."""
        import numpy as np

        stacked = np.concatenate(self._parts, axis=1)
        self._parts.clear()  # there may be a quarter of a million tables: no more copies than must be
        offsets, first, which = np.unique(stacked[0], return_index=True, return_inverse=True)
        rows = [offsets, *(_sums(which, row, len(offsets)) for row in stacked[1:4]), *stacked[4:, first]]
        del stacked, first, which
        self._parts.append(self._bounded(np.stack(rows)))
        return self._parts[0]

    def _bounded(self, tables: Ints) -> Ints:
        """Leave out tables that hold nothing, if there are too many of them."""
        import numpy as np

        if tables.shape[1] <= MAX_EMPTY_TABLES:
            return tables
        size = self._image.geometry.cluster_size
        empty = np.flatnonzero(~in_data(self._image, tables[0], size) | (tables[0] & (size - 1) != 0))
        surplus = empty[MAX_EMPTY_TABLES:]
        self.left_out += int(tables[1:3, surplus].sum())
        return np.delete(tables, surplus, axis=1)


def _part(column: L1Column, first: int, raw: Column, l1_needed: int) -> Ints:
    """Rows offset, active, snapshot, mapped, state, l1_index for the distinct tables of some entries from ``first``."""
    import numpy as np

    used, found = np.flatnonzero(raw), table_offsets(raw)
    offsets, place, counts = np.unique(found[used], return_index=True, return_counts=True)
    counts = counts.astype(np.int64) * column.times
    none = np.zeros_like(counts)
    state = np.full_like(counts, column.number)
    if column.number:
        return np.stack([offsets, none, counts, none, state, used[place] + first])
    within = found[: max(0, l1_needed - first)]
    mapped = np.bincount(np.searchsorted(offsets, within[within != 0]), minlength=len(offsets))
    return np.stack([offsets, counts, none, mapped.astype(np.int64), state, used[place] + first])


def _sums(which: Ints, values: Ints, count: int) -> Ints:
    import numpy as np

    sums = np.zeros(count, dtype=np.int64)
    np.add.at(sums, which, values)
    return sums
