"""Pointers lead past the end of the file.

The image refers to clusters that the file does not hold, by a cluster or more: the end of the file is missing. What
lay there reads as zeros, without an error.

What else could explain it: single damaged pointers, if there are only a few and they lead far past the end; an
unfinished copy or a full disk, if many lead just past it.

QEMU reads zeros; qemu-img check counts a corruption for each pointer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.rules.base import entry_evidence, guest_impact
from qcow2inspect.rules.spans import SHOWN, guest_of, survey_rule
from qcow2inspect.rules.tables import FEW, NEAR, target_of
from qcow2inspect.survey.odd import Odd
from qcow2inspect.units import bytes_of, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    known = [Odd.L1_EOF, Odd.L2_EOF, Odd.CMP_EOF, Odd.RT_EOF]
    count = sum(survey.odd_count.get(kind, 0) for kind in known)
    near = survey.image.end + NEAR * survey.image.geometry.cluster_size
    entries = [entry for kind in known for entry in survey.odd.get(kind, ()) if target_of(survey, entry) < near]
    if len(entries) >= FEW:
        guest = guest_of(survey, entries)
        message = f"{counted(count, 'pointer')} past the end of the file ({survey.image.end}), {len(entries):,} close"
        evidence = tuple(entry_evidence(survey, entry) for entry in entries[:SHOWN])
        yield Finding(
            "QCOW-IMG-TRUNCATED",
            Severity.ERROR,
            Category.CORRUPTION,
            message + guest_impact(guest),
            evidence,
            tuple(guest[:SHOWN]),
            count,
            guest_bytes=bytes_of(guest),
        )


RULE = survey_rule(
    __name__,
    "QCOW-IMG-TRUNCATED",
    Severity.ERROR,
    find=_find,
    spec="Host cluster management",
)
