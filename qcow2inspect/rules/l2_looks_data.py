"""An L2 table was overwritten with other data.

What stands where the table should be has no likeness to L2 entries: most have impossible offsets and random flags. The
map of this guest range is lost in this cluster: the data may still lie in the file, in clusters that nothing points
to. The entries are not judged one by one, for they are none.

What else could explain it: a writer that took the cluster for free and put guest data there; an L1 entry whose damaged
offset leads to guest data; a bad sector.

QEMU takes the bytes for entries and fails to read, or reads garbage; qemu-img check counts several corruptions for each
entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Severity
from qcow2inspect.rules.spans import survey_rule
from qcow2inspect.rules.tables import overwritten_findings
from qcow2inspect.survey.content import UNKNOWN_DATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.findings import Finding
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    yield from overwritten_findings(survey, "QCOW-L2-LOOKS-DATA", UNKNOWN_DATA, what="other data, as a guest writes it")


RULE = survey_rule(
    __name__,
    "QCOW-L2-LOOKS-DATA",
    Severity.ERROR,
    find=_find,
    spec="L2 table",
)
