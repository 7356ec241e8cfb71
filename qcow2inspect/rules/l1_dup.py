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
from qcow2inspect.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    import numpy as np

    for column in survey.l1_columns:
        used = np.flatnonzero(column.offsets)
        values, which, counts = np.unique(column.offsets[used], return_inverse=True, return_counts=True)
        sound = (values % survey.image.geometry.cluster_size == 0) & (values < survey.image.end)
        rows = used[((counts > 1) & sound)[which]]
        if not len(rows):
            continue
        entries = [OddEntry(column.mapping, int(row), None, int(column.raw[row])) for row in rows[:KEPT]]
        guest = guest_of(survey, entries)
        tables = int(np.count_nonzero((counts > 1) & sound))
        message = f"{len(rows):,} L1 entries of the {column.mapping.title} lead to only {counted(tables, 'L2 table')}"
        yield Finding(
            "QCOW-L1-DUP",
            Severity.ERROR,
            Category.CORRUPTION,
            message + guest_impact(guest),
            tuple(entry_evidence(survey, entry) for entry in entries[:SHOWN]),
            tuple(guest[:SHOWN]),
            len(rows),
        )


RULE = survey_rule(
    __name__,
    "QCOW-L1-DUP",
    Severity.ERROR,
    find=_find,
    spec="L1 table",
)
