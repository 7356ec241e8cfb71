"""A refcount block lies where other metadata is.

The same bytes are refcounts and something else. One of the two is wrong now, and the next allocation, which writes
refcounts, destroys the other. That is how one lost refcount becomes an unreadable image.

What else could explain it: a damaged refcount table entry; a cluster that was given away twice because its refcount was
too low.

QEMU writes refcounts there without a look; qemu-img check counts a corruption and wants to rebuild all refcounts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Severity
from qcow2inspect.rules.spans import overlap_findings, survey_rule
from qcow2inspect.survey.claims import Owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.findings import Finding
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]

_OWNERS = frozenset({Owner.REFCOUNT_BLOCK})


def _find(survey: Survey) -> Iterator[Finding]:
    yield from overlap_findings(
        survey, "QCOW-RB-INTO-META", _OWNERS, says="{count} where a refcount block lies on other metadata: {names}"
    )


RULE = survey_rule(
    __name__,
    "QCOW-RB-INTO-META",
    Severity.ERROR,
    find=_find,
    spec="Refcount table",
)
