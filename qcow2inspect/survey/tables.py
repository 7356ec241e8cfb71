"""All L2 tables of an image, each once, with the L1 entries that lead to them counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.format.mapping import L1Entry

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.image.image import Image
    from qcow2inspect.image.tree import Mapping
    from qcow2inspect.layout.word import Column
    from qcow2inspect.survey.columns import Ints

__all__ = ["MAX_CROOKED_TABLES", "MAX_L1_TOTAL", "L1Column", "Tables", "gather_tables", "read_l1"]

MAX_L1_TOTAL = 64 << 20
"""L1 entries of all snapshots together that are looked at; more than QEMU can be asked to check in an hour."""
MAX_CROOKED_TABLES = 4096
"""L2 tables at unaligned places that are looked at, which only QEMU's check does at all."""


@dataclass(frozen=True)
class L1Column:
    """The L1 table of one state.

    Attributes:
        number: 0 for the active state, 1 for the first snapshot, and so on.
        mapping: the state.
        raw: its entries that are in the file, as stored.
        times: how many states have this very table.
    """

    number: int
    mapping: Mapping
    raw: Column
    times: int = 1

    @property
    def offsets(self) -> Ints:
        """Where the L2 tables lie; 0 for none."""
        import numpy as np

        return (self.raw & np.uint64(L1Entry.l2_table_offset.mask)).astype(np.int64)


def read_l1(image: Image, mapping: Mapping, number: int, times: int = 1) -> L1Column:
    """The entries of an L1 table that the file holds, without the zeros at its end."""
    import numpy as np

    stored = max(0, min(len(mapping.l1), -(-(image.end - mapping.l1.at) // 8)))
    raw = mapping.l1.column(0, stored)
    used = np.flatnonzero(raw)
    return L1Column(number, mapping, raw[: int(used[-1]) + 1 if len(used) else 0], times)


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


def gather_tables(columns: list[L1Column], cluster_size: int, l1_needed: int) -> Tables:
    """The tables that L1 tables lead to.

    Args:
        columns: the L1 tables, that of the active state first.
        cluster_size: bytes of a cluster.
        l1_needed: L1 entries that the active disk needs; what further ones lead to is not part of it.
    """
    import numpy as np

    parts = [_part(column, l1_needed) for column in columns]
    stacked = np.concatenate(parts, axis=1) if parts else np.zeros((6, 0), dtype=np.int64)
    offsets, first, which = np.unique(stacked[0], return_index=True, return_inverse=True)
    active, snapshot, mapped = (_sums(which, stacked[row], len(offsets)) for row in (1, 2, 3))
    return Tables(offsets, active, snapshot, mapped, stacked[4][first], stacked[5][first], cluster_size)


def _part(column: L1Column, l1_needed: int) -> Ints:
    """Rows offset, active, snapshot, mapped, state, l1_index for the distinct tables of one L1 table."""
    import numpy as np

    used = np.flatnonzero(column.raw)
    offsets, first, counts = np.unique(column.offsets[used], return_index=True, return_counts=True)
    counts = counts.astype(np.int64) * column.times
    none = np.zeros_like(counts)
    state = np.full_like(counts, column.number)
    if column.number:
        return np.stack([offsets, none, counts, none, state, used[first]])
    within = column.offsets[: max(0, l1_needed)]
    mapped = np.bincount(np.searchsorted(offsets, within[within != 0]), minlength=len(offsets))
    return np.stack([offsets, counts, none, mapped.astype(np.int64), state, used[first]])


def _sums(which: Ints, values: Ints, count: int) -> Ints:
    import numpy as np

    sums = np.zeros(count, dtype=np.int64)
    np.add.at(sums, which, values)
    return sums
