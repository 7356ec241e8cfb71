"""The file goes on behind the last cluster in use.

Neither a refcount nor a pointer covers these bytes, and they are not all zero. They are no part of the disk: appended
data, or the remains of clusters that were freed.

What else could explain it: a file that was preallocated or grew and was not cut; a footer of another program.

QEMU never reads them; qemu-img check stays silent and overwrites them when the image grows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.rules.spans import evidence_at, survey_rule
from qcow2inspect.rules.tables import first_content
from qcow2inspect.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    image, end = survey.image, survey.qemu.image_end
    at = first_content(image, end)
    if at is not None:
        evidence = evidence_at(survey, f"{at:#x}")
        size = human_size(image.end - end)
        message = f"{size} behind the last cluster in use ({end:#x}), with content from {at:#x} on"
        yield Finding("QCOW-IMG-TRAILING", Severity.NOTE, Category.FORENSIC, message, (evidence,) if evidence else ())


RULE = survey_rule(
    __name__,
    "QCOW-IMG-TRAILING",
    Severity.NOTE,
    find=_find,
    spec="Host cluster management",
    category=Category.FORENSIC,
)
