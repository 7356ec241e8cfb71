"""An L2 table was overwritten with refcounts.

What stands where the table should be are small numbers throughout, as in a refcount block. The map of this guest range
is lost in this cluster: the data may still lie in the file, in clusters that nothing points to. The entries are not
judged one by one, for they are none.

What else could explain it: a writer that used one cluster as L2 table and as refcount block; an L1 entry whose damaged
offset leads to a refcount block.

QEMU takes the numbers for entries and fails to read, or reads zeros; qemu-img check counts several corruptions for
each entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Severity
from qcow2inspect.rules.spans import survey_rule
from qcow2inspect.rules.tables import overwritten_findings
from qcow2inspect.survey.content import REFCOUNTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.findings import Finding
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    yield from overwritten_findings(survey, "QCOW-L2-LOOKS-REFBLOCK", REFCOUNTS, what="refcount block content")


RULE = survey_rule(
    __name__,
    "QCOW-L2-LOOKS-REFBLOCK",
    Severity.ERROR,
    find=_find,
    spec="L2 table",
)
