"""An L2 entry points to its own L2 table.

The guest sees the table that maps it, and a write of the guest to this place changes the map: it can lead any guest
range to any place of the file.

What else could explain it: a damaged offset in the entry; a cluster that was given away twice; an image that was made
so on purpose.

QEMU reads and writes there without a look; qemu-img check sees only that the refcount does not fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.rules.base import entry_evidence, guest_impact
from qcow2inspect.rules.spans import KEPT_CLUSTERS, SHOWN, guest_of, is_self, survey_rule
from qcow2inspect.survey.faults import Fault, clusters_of
from qcow2inspect.units import bytes_of, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    clusters = clusters_of(survey.faults.first(Fault.DATA_IN_METADATA), KEPT_CLUSTERS).tolist()
    entries = [entry for cluster in clusters for entry in survey.referrers.get(cluster, []) if is_self(survey, entry)]
    if not entries:
        return
    guest = guest_of(survey, entries)
    message = f"{counted(len(entries), 'L2 entry', 'L2 entries')} pointing to the L2 table that holds them"
    yield Finding(
        "QCOW-L2-SELF",
        Severity.ERROR,
        Category.CORRUPTION,
        message + guest_impact(guest),
        tuple(entry_evidence(survey, entry) for entry in entries[:SHOWN]),
        tuple(guest[:SHOWN]),
        len(entries),
        guest_bytes=bytes_of(guest),
    )


RULE = survey_rule(
    __name__,
    "QCOW-L2-SELF",
    Severity.ERROR,
    find=_find,
    spec="L2 table",
)
