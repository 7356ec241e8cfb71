"""Several L1 entries of one state lead to the same L2 table.

Ranges of the disk that have nothing to do with each other show the same bytes, and a write to one changes all. Many
such entries let a small file pretend to be a huge disk full of data.

What else could explain it: a damaged offset in an L1 entry; entries that were aliased on purpose to exhaust whoever
reads the image.

QEMU reads it as it is; qemu-img check counts corruptions, and walks the table again for every entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.rules.base import entry_evidence, guest_impact
from qcow2inspect.rules.spans import SHOWN, guest_of, survey_rule
from qcow2inspect.survey.odd import KEPT, OddEntry
from qcow2inspect.survey.tables import table_offsets
from qcow2inspect.units import bytes_of, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.layout.word import Column
    from qcow2inspect.survey.columns import Ints
    from qcow2inspect.survey.survey import Survey
    from qcow2inspect.survey.tables import L1Column, Tables

    Mask = npt.NDArray[np.bool_]

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    import numpy as np

    tables = survey.tables
    if tables is None or not len(tables):
        return
    for column in survey.l1_columns:
        counts = np.zeros(len(tables), dtype=np.int64)
        for _, raw in column.blocks():
            counts += np.bincount(_known(tables, raw)[1], minlength=len(tables))
        repeated = (counts > 1) & ~tables.is_phantom & (tables.offsets < survey.image.end)
        if repeated.any():
            yield _finding(survey, column, tables, counts, repeated)


def _known(tables: Tables, raw: Column) -> tuple[Ints, Ints]:
    """Places of entries that lead to a known table, and which table that is."""
    import numpy as np

    offsets = table_offsets(raw)
    which = np.minimum(np.searchsorted(tables.offsets, offsets), len(tables) - 1)
    places = np.flatnonzero((offsets != 0) & (tables.offsets[which] == offsets))
    return places, which[places]


def _finding(survey: Survey, column: L1Column, tables: Tables, counts: Ints, repeated: Mask) -> Finding:
    import numpy as np

    entries: list[OddEntry] = []
    for first, raw in column.blocks():
        places, which = _known(tables, raw)
        rows = places[repeated[which]][: KEPT - len(entries)].tolist()
        entries += [OddEntry(column.mapping, first + row, None, int(raw[row])) for row in rows]
        if len(entries) == KEPT:
            break
    guest = guest_of(survey, entries)
    count, shared = int(counts[repeated].sum()), int(np.count_nonzero(repeated))
    message = f"{count:,} L1 entries of the {column.mapping.title} lead to only {counted(shared, 'L2 table')}"
    return Finding(
        "QCOW-L1-DUP",
        Severity.ERROR,
        Category.CORRUPTION,
        message + guest_impact(guest),
        tuple(entry_evidence(survey, entry) for entry in entries[:SHOWN]),
        tuple(guest[:SHOWN]),
        count,
        guest_bytes=bytes_of(guest),
    )


RULE = survey_rule(
    __name__,
    "QCOW-L1-DUP",
    Severity.ERROR,
    find=_find,
    spec="L1 table",
)
