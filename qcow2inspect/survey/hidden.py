"""Entries of the active state that map what lies past the end of the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.format.mapping import ClusterType, classify_column
from qcow2inspect.units import HostOffset

if TYPE_CHECKING:
    from qcow2inspect.survey.survey import Survey

__all__ = ["Hidden", "find_hidden"]

_STORED = (ClusterType.ZERO_ALLOC, ClusterType.NORMAL, ClusterType.COMPRESSED)


@dataclass(frozen=True)
class Hidden:
    """What the active tables hold past the end of the disk.

    Attributes:
        l1_index: L1 entries past the disk whose L2 tables hold something.
        clusters: clusters behind them.
        tail: indices in the last L2 table of the disk, past its end, that hold something.
        tail_l1_index: the L1 entry of that table.
    """

    l1_index: tuple[int, ...] = ()
    clusters: int = 0
    tail: tuple[int, ...] = ()
    tail_l1_index: int = 0


def find_hidden(survey: Survey) -> Hidden:
    """Look for entries past the end of the disk; those of tables that hold something else do not count."""
    import numpy as np

    tables, types = survey.tables, survey.table_types
    columns = [column for column in survey.l1_columns if not column.number]
    if tables is None or types is None or not columns:
        return Hidden()
    geometry, size = survey.image.geometry, survey.tree.active.size
    needed = geometry.l1_entries(size)
    offsets = columns[0].offsets
    index = np.flatnonzero(offsets[needed:]) + needed
    which = np.searchsorted(tables.offsets, offsets[index])
    stored = types[which][:, list(_STORED)].sum(axis=1)
    sound = ~tables.is_phantom[which] & (tables.offsets[which] < survey.image.end)
    sound &= ~np.isin(which, np.array(sorted(survey.overwritten), dtype=np.int64))
    some = sound & (stored > 0)
    tail_at, tail = _tail(survey, offsets)
    return Hidden(tuple(index[some].tolist()), int(stored[some].sum()), tail, tail_at)


def _tail(survey: Survey, offsets: object) -> tuple[int, tuple[int, ...]]:
    import numpy as np

    geometry = survey.image.geometry
    clusters = -(-survey.tree.active.size // geometry.cluster_size)
    last, inside = divmod(clusters, geometry.l2_entries)
    column = np.asarray(offsets)
    at = int(column[last]) if inside and last < len(column) else 0
    if not at or at % geometry.cluster_size or at >= survey.image.end:
        return 0, ()
    if survey.tables is not None and int(np.searchsorted(survey.tables.offsets, at)) in survey.overwritten:
        return 0, ()
    words = survey.image.l2_table(HostOffset(at)).words()[inside:, 0]
    data_file = survey.image.has_data_file
    kinds = classify_column(words, extended_l2=geometry.extended_l2, data_file=data_file)
    return last, tuple((np.flatnonzero(np.isin(kinds, _STORED)) + inside).tolist())
