"""The file pretends to hold far more data than it has room for.

Entries share tables and clusters, so that the disk has many times more data than the file has bytes. Whoever exports
or scans it writes and reads all of it. No writer makes this.

What else could explain it: nothing known but intent; damage repeats values by chance, not thousands of times.

QEMU converts it to the end or until the target is full; qemu-img check walks every alias, which takes hours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.rules.base import header_evidence
from qcow2inspect.rules.spans import survey_rule
from qcow2inspect.rules.tables import mistaken
from qcow2inspect.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]

_TIMES = 100
_LEAST = 1 << 30
_STORED = (ClusterType.NORMAL, ClusterType.ZERO_ALLOC)


def _find(survey: Survey) -> Iterator[Finding]:
    if survey.image.has_data_file:
        return
    data = sum(survey.clusters.get(kind, 0) for kind in _STORED) - mistaken(survey, *_STORED)
    amount = data * survey.image.geometry.cluster_size
    if amount >= max(_LEAST, _TIMES * survey.image.source.size):
        evidence = header_evidence(survey.image, "l1_table_offset")
        size = human_size(survey.image.source.size)
        message = f"{human_size(amount)} of data in a file of {size}: tables or clusters are used many times"
        yield Finding("QCOW-IMG-ALIAS-BOMB", Severity.ERROR, Category.SECURITY, message, (evidence,))


RULE = survey_rule(
    __name__,
    "QCOW-IMG-ALIAS-BOMB",
    Severity.ERROR,
    find=_find,
    spec="Host cluster management",
    category=Category.SECURITY,
)
