"""An L2 entry maps guest data onto metadata.

The guest reads the image's own structures as disk content, and a write of the guest to this place changes them: tables,
refcounts or the header itself. A guest that may do that can reach beyond its disk.

What else could explain it: a cluster that was given away twice because its refcount was too low; a damaged offset in
the entry; an image that was made so on purpose.

QEMU reads and writes there without a look (it refuses some writes when it notices); qemu-img check sees only that the
refcount does not fit, if it does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.rules.base import entry_evidence, guest_impact
from qcow2inspect.rules.spans import KEPT_CLUSTERS, SHOWN, grouped, guest_of, is_self, owners_of, survey_rule
from qcow2inspect.survey.faults import Fault, clusters_of
from qcow2inspect.units import bytes_of, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    count = survey.faults.count.get(Fault.DATA_IN_METADATA, 0)
    clusters = clusters_of(survey.faults.first(Fault.DATA_IN_METADATA), KEPT_CLUSTERS).tolist()
    names, entries = [], []
    for cluster in clusters:
        others = [entry for entry in survey.referrers.get(cluster, []) if not is_self(survey, entry)]
        if others:
            entries += others
            names.append(f"cluster {cluster} belongs to {owners_of(survey, cluster)}")
    if not entries:
        return
    guest = guest_of(survey, entries)
    message = f"guest data on metadata, in {counted(count, 'host cluster')}: {grouped(names)}"
    yield Finding(
        "QCOW-L2-INTO-META",
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
    "QCOW-L2-INTO-META",
    Severity.ERROR,
    find=_find,
    spec="L2 table",
)
