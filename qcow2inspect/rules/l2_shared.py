"""Guest clusters of the active state share a host cluster.

Two places of the disk show the same bytes. At least one of them shows what belongs elsewhere, and a write to one
changes the other.

What else could explain it: a cluster that was given away twice because its refcount was too low; a damaged offset;
entries that were aliased on purpose.

QEMU reads it as it is; qemu-img check counts a corruption, unless the refcount was raised to fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.rules.base import entry_evidence, guest_impact
from qcow2inspect.rules.spans import KEPT_CLUSTERS, SHOWN, grouped, guest_of, survey_rule
from qcow2inspect.survey.faults import Fault, clusters_of
from qcow2inspect.units import bytes_of, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    count = survey.faults.count.get(Fault.SHARED, 0)
    clusters = clusters_of(survey.faults.first(Fault.SHARED), KEPT_CLUSTERS).tolist()
    entries, names = [], []
    for cluster in clusters:
        both = [entry for entry in survey.referrers.get(cluster, []) if entry.mapping is survey.tree.active]
        if len(both) > 1:
            entries += both
            names.append(f"cluster {cluster} by {' and '.join(entry_evidence(survey, each).path for each in both[:2])}")
    if not entries:
        return
    guest = guest_of(survey, entries)
    message = f"{counted(count, 'host cluster')} mapped by several guest clusters of the active state: {grouped(names)}"
    yield Finding(
        "QCOW-L2-SHARED",
        Severity.ERROR,
        Category.CORRUPTION,
        message + guest_impact(guest),
        tuple(entry_evidence(survey, entry) for entry in entries[:SHOWN]),
        tuple(guest[:SHOWN]),
        max(count, len(entries)),
        guest_bytes=bytes_of(guest),
    )


RULE = survey_rule(
    __name__,
    "QCOW-L2-SHARED",
    Severity.ERROR,
    find=_find,
    spec="L2 table",
)
