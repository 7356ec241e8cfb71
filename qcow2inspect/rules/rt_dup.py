"""Several refcount table entries lead to the same refcount block.

One block cannot hold the refcounts of two ranges of the file: at least one range has wrong counts, so that clusters in
use look free or free ones used. Reading guest data does not depend on it.

What else could explain it: a damaged offset in the refcount table; a table that was put together by a faulty program.

QEMU uses the block for both ranges; qemu-img check counts a corruption and wants to rebuild all refcounts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.rules.base import entry_evidence
from qcow2inspect.rules.spans import SHOWN, survey_rule
from qcow2inspect.survey.odd import OddEntry
from qcow2inspect.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    import numpy as np

    if survey.usage is None:
        return
    refcounts = survey.usage.refcounts
    used = np.flatnonzero(refcounts.offsets > 0)
    _, which, counts = np.unique(refcounts.offsets[used], return_inverse=True, return_counts=True)
    rows = used[(counts > 1)[which]]
    if len(rows):
        entries = [OddEntry(None, int(row), None, int(refcounts.table[row])) for row in rows[:SHOWN]]
        message = f"{len(rows):,} refcount table entries lead to only {counted(int((counts > 1).sum()), 'block')}"
        evidence = tuple(entry_evidence(survey, entry) for entry in entries)
        yield Finding("QCOW-RT-DUP", Severity.ERROR, Category.CORRUPTION, message, evidence, (), len(rows))


RULE = survey_rule(
    __name__,
    "QCOW-RT-DUP",
    Severity.ERROR,
    find=_find,
    spec="Refcount table",
)
