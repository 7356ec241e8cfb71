"""A refcount block is not counted as used.

The block that holds refcounts has itself a refcount of zero. The next writer that needs space takes the block and puts
guest data over it, and then every refcount in it is guest data: the image falls apart from there.

What else could explain it: an image with lazy refcounts that was not closed cleanly; a repair that freed too much.

QEMU does not notice while reading; qemu-img check counts a corruption and wants to rebuild all refcounts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.rules.spans import SHOWN, evidence_at, grouped, survey_rule
from qcow2inspect.survey.claims import Owner
from qcow2inspect.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    import numpy as np

    if survey.usage is None:
        return
    metadata, refcounts = survey.usage.metadata, survey.usage.refcounts
    rows = np.flatnonzero(metadata.owner == Owner.REFCOUNT_BLOCK)
    uncounted = rows[refcounts.counts.at(metadata.start[rows]) == 0]
    if not len(uncounted):
        return
    paths = [f"rt[{index}]" for index in metadata.index[uncounted[:SHOWN]].tolist()]
    evidence = tuple(each for path in paths if (each := evidence_at(survey, path)) is not None)
    message = f"{counted(len(uncounted), 'refcount block')} with a stored refcount of zero: {grouped(paths)}"
    weight = Severity.WARNING if survey.image.header.incompatible_features.dirty else Severity.ERROR
    yield Finding("QCOW-RB-SELF-UNCOUNTED", weight, Category.CORRUPTION, message, evidence, (), len(uncounted))


RULE = survey_rule(
    __name__,
    "QCOW-RB-SELF-UNCOUNTED",
    Severity.ERROR,
    find=_find,
    spec="Refcount table",
)
