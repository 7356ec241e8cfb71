"""The last L2 table has entries past the end of the disk.

The disk ends inside the range of the table, and entries behind its end are in use. A guest cannot reach them; their
content is a place where data may be left or hidden.

What else could explain it: the disk was made smaller by a program that does not clear the entries; a size that is no
multiple of the cluster size never explains it.

QEMU never reads them; qemu-img check counts them as allocated and stays silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.rules.spans import SHOWN, evidence_at, grouped, survey_rule
from qcow2inspect.survey.hidden import find_hidden
from qcow2inspect.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    hidden = find_hidden(survey)
    if hidden.tail:
        paths = [f"L1[{hidden.tail_l1_index}].L2[{index}]" for index in hidden.tail]
        evidence = tuple(each for path in paths[:SHOWN] if (each := evidence_at(survey, path)) is not None)
        entries = counted(len(paths), "L2 entry", "L2 entries")
        message = f"{entries} in use past the end of the disk: {grouped(paths)}"
        yield Finding("QCOW-L2-BEYOND", Severity.NOTE, Category.FORENSIC, message, evidence, (), len(paths))


RULE = survey_rule(
    __name__,
    "QCOW-L2-BEYOND",
    Severity.NOTE,
    find=_find,
    spec="L2 table",
    category=Category.FORENSIC,
)
