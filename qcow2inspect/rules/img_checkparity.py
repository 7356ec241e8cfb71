"""qemu-img check comes to another judgement of this image.

It does not look at everything, and it takes some things for damage that are none. Where its exit code and what is
found here differ, this says why, so that nobody is left with two verdicts and no reason.

What else could explain it: a newer QEMU than 7.2 may count differently.

QEMU's own counters are shown beside; the exit code of the check verb is QEMU's unless --strict is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.rules.spans import survey_rule
from qcow2inspect.rules.tables import differences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    for reason in differences(survey):
        yield Finding("QCOW-IMG-CHECKPARITY", Severity.INFO, Category.FORENSIC, reason)


RULE = survey_rule(
    __name__,
    "QCOW-IMG-CHECKPARITY",
    Severity.INFO,
    find=_find,
    spec="Host cluster management",
    category=Category.FORENSIC,
)
