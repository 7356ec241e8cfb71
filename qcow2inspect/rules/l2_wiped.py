"""An L2 table is all zero while clusters exist that nothing points to.

Both together are consistent with a table that was overwritten with zeros: its guest range reads as unallocated, and
the clusters it mapped are left without a pointer. They look like harmless leaks. Freeing them destroys the data; it can
be put back into place as long as they are kept.

What else could explain it: a guest that discarded the whole range, and leaks from some other interruption. Look at the
content of the clusters: guest data speaks for a wiped table.

QEMU reads the range as unallocated without an error; qemu-img check reports the clusters as leaks only, and
qemu-img check -r leaks frees them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.rules.base import entry_evidence, guest_impact
from qcow2inspect.rules.spans import KEPT_CLUSTERS, SHOWN, survey_rule
from qcow2inspect.rules.tables import guest_of_tables, l1_entries_of
from qcow2inspect.survey.faults import Fault
from qcow2inspect.units import bytes_of, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    if not survey.is_wiped:
        return
    empty = survey.empty_tables
    entries = l1_entries_of(survey, empty)
    guest = guest_of_tables(survey, empty)
    orphans = survey.faults.count[Fault.ORPHAN]
    message = (
        f"{counted(len(empty), 'L2 table')} all zero, and {counted(orphans, 'cluster')} that nothing points to: "
        f"consistent with a wiped table, not with harmless leaks{guest_impact(guest)}"
    )
    evidence = tuple(entry_evidence(survey, entry) for entry in entries[:SHOWN])
    yield Finding(
        "QCOW-L2-WIPED",
        Severity.ERROR,
        Category.CORRUPTION,
        message,
        evidence,
        tuple(guest[:KEPT_CLUSTERS]),
        len(empty),
        guest_bytes=bytes_of(guest),
    )


RULE = survey_rule(
    __name__,
    "QCOW-L2-WIPED",
    Severity.ERROR,
    find=_find,
    spec="L2 table",
)
