"""An L1 entry leads to an L2 table where other metadata lies.

The cluster is a structure of its own: header, refcounts, another table. Its bytes are taken for L2 entries, so that
the guest range reads from places that mean nothing; a write to the range damages the structure.

What else could explain it: a damaged offset in the L1 entry; a cluster that was given away twice because its refcount
was too low; an image that was made so on purpose.

QEMU takes what stands there for an L2 table; qemu-img check sees only that the refcount does not fit, if it does not.
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

_OWNERS = frozenset({Owner.L2, Owner.L2_SNAPSHOT})


def _find(survey: Survey) -> Iterator[Finding]:
    yield from overlap_findings(
        survey, "QCOW-L1-INTO-META", _OWNERS, says="{count} whose L2 table lies on other metadata: {names}"
    )


RULE = survey_rule(
    __name__,
    "QCOW-L1-INTO-META",
    Severity.ERROR,
    find=_find,
    spec="L1 table",
)
