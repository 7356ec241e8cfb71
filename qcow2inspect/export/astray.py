"""L2 tables that cannot be believed: guest ranges whose map holds something else, was wiped, or has a second owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.format.mapping import L1Entry
from qcow2inspect.survey.content import REFCOUNTS
from qcow2inspect.survey.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.disk import Disk
    from qcow2inspect.survey.columns import Ints
    from qcow2inspect.survey.survey import Survey
    from qcow2inspect.units import GuestRange

__all__ = ["astray", "doubt_about", "metadata_ranges"]

_REFCOUNTS = "the L2 table that should map these bytes was overwritten by refcount block content"
_DATA = "the L2 table that should map these bytes was overwritten by other data"
_WIPED = "the L2 table that should map these bytes is all zeros, and clusters are left to which nothing points"
_SECOND = "another structure of metadata lies in the same place as the L2 table that maps these bytes"


def astray(survey: Survey, disk: Disk) -> Iterator[tuple[GuestRange, str]]:
    """Guest ranges of a disk whose L2 table cannot be believed, in order, and why.

    Args:
        survey: what is known about the tables of the image.
        disk: the active state, or a snapshot.
    """
    import numpy as np

    why = _reasons(survey)
    if not why:
        return
    offsets = disk.mapping.l1.column() & np.uint64(L1Entry.l2_table_offset.mask)
    wrong = np.array(sorted(why), dtype=np.uint64)
    for index in np.flatnonzero(np.isin(offsets, wrong)).tolist():
        span = survey.image.geometry.guest_span(index).clip(0, disk.size)
        if span:
            yield span, why[int(offsets[index])]


def doubt_about(survey: Survey, offset: int) -> str:
    """Why the L2 table at a host offset cannot be believed; empty if its content does not speak against it."""
    import numpy as np

    tables, types = survey.tables, survey.table_types
    suspect = survey.overwritten or survey.faults.count.get(Fault.ORPHAN)
    if tables is None or types is None or not suspect:
        return ""
    table = int(np.searchsorted(tables.offsets, offset))
    if table == len(tables) or tables.offsets[table] != offset:
        return ""
    kind = survey.overwritten.get(table)
    if kind is not None:
        return _REFCOUNTS if kind == REFCOUNTS else _DATA
    return _WIPED if not types[table].any() and survey.is_wiped else ""


def _reasons(survey: Survey) -> dict[int, str]:
    """Host offset of an L2 table -> why it cannot be believed."""
    tables = survey.tables
    if tables is None:
        return {}
    why = dict.fromkeys(_twice(survey), _SECOND)
    if survey.is_wiped:
        why |= {int(tables.offsets[table]): _WIPED for table in survey.empty_tables.tolist()}
    for table, kind in survey.overwritten.items():
        why[int(tables.offsets[table])] = _REFCOUNTS if kind == REFCOUNTS else _DATA
    return why


def _twice(survey: Survey) -> Iterator[int]:
    """Host offsets of clusters that two structures of metadata claim."""
    bits = survey.image.geometry.cluster_bits
    for span in survey.faults.first(Fault.METADATA_TWICE):
        yield from range(span.start << bits, span.end << bits, 1 << bits)


def metadata_ranges(survey: Survey) -> tuple[Ints, Ints]:
    """Where all metadata of an image lies: host offsets of starts and of ends, in any order."""
    import numpy as np

    if survey.usage is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    metadata, size = survey.usage.metadata, np.int64(survey.image.geometry.cluster_size)
    return metadata.start * size, (metadata.start + metadata.length) * size
