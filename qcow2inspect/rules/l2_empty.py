"""An L2 table has no entry in use.

All entries are zero: the whole guest range is unallocated, as it would be without the table. Where the guest discarded
its data or a snapshot was deleted, that is how it looks.

What else could explain it: a table that was overwritten with zeros; then clusters that nothing points to usually
remain (see QCOW-L2-WIPED).

QEMU reads the range as unallocated; qemu-img check stays silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.rules.base import entry_evidence, guest_impact
from qcow2inspect.rules.spans import SHOWN, survey_rule
from qcow2inspect.rules.tables import guest_of_tables, l1_entries_of
from qcow2inspect.units import bytes_of, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    empty = survey.empty_tables
    if not len(empty) or survey.is_wiped:
        return
    entries = l1_entries_of(survey, empty)
    guest = guest_of_tables(survey, empty)
    message = f"{counted(len(empty), 'L2 table')} without an entry in use{guest_impact(guest)}"
    evidence = tuple(entry_evidence(survey, entry) for entry in entries[:SHOWN])
    yield Finding(
        "QCOW-L2-EMPTY",
        Severity.NOTE,
        Category.FORENSIC,
        message,
        evidence,
        tuple(guest[:SHOWN]),
        len(empty),
        guest_bytes=bytes_of(guest),
    )


RULE = survey_rule(
    __name__,
    "QCOW-L2-EMPTY",
    Severity.NOTE,
    find=_find,
    spec="L2 table",
    category=Category.FORENSIC,
)
