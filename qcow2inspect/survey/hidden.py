"""Entries of the active state that map what lies past the end of the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.format.mapping import ClusterType, classify_column
from qcow2inspect.survey.tables import table_offsets
from qcow2inspect.units import HostOffset

if TYPE_CHECKING:
    from qcow2inspect.survey.survey import Survey
    from qcow2inspect.survey.tables import L1Column

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
    skipped = np.array(sorted(survey.overwritten), dtype=np.int64)
    found: list[int] = []
    clusters = 0
    for first, raw in columns[0].blocks(needed):
        offsets = table_offsets(raw)
        index = np.flatnonzero(offsets)
        which = np.minimum(np.searchsorted(tables.offsets, offsets[index]), max(0, len(tables) - 1))
        known = tables.offsets[which] == offsets[index]
        stored = types[which][:, list(_STORED)].sum(axis=1)
        sound = known & ~tables.is_phantom[which] & (tables.offsets[which] < survey.image.end)
        some = sound & (stored > 0) & ~np.isin(which, skipped)
        found += (index[some] + first).tolist()
        clusters += int(stored[some].sum())
    tail_at, tail = _tail(survey, columns[0])
    return Hidden(tuple(found), clusters, tail, tail_at)


def _tail(survey: Survey, active: L1Column) -> tuple[int, tuple[int, ...]]:
    import numpy as np

    geometry = survey.image.geometry
    clusters = -(-survey.tree.active.size // geometry.cluster_size)
    last, inside = divmod(clusters, geometry.l2_entries)
    at = active.offset(last) if inside else 0
    if not at or at % geometry.cluster_size or at >= survey.image.end:
        return 0, ()
    if survey.tables is not None and int(np.searchsorted(survey.tables.offsets, at)) in survey.overwritten:
        return 0, ()
    words = survey.image.l2_table(HostOffset(at)).words()[inside:, 0]
    data_file = survey.image.has_data_file
    kinds = classify_column(words, extended_l2=geometry.extended_l2, data_file=data_file)
    return last, tuple((np.flatnonzero(np.isin(kinds, _STORED)) + inside).tolist())
