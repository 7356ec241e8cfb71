"""Structures that must not share a host cluster do.

Each cluster of the file has one owner; only compressed clusters lie side by side in one, and only snapshots share data
and L2 tables. Here two owners use the same bytes: what is right for one is damage to the other, and the next write of
either destroys the other.

What else could explain it: a writer that took a cluster for free because its refcount was zero; a pointer that was
damaged and now leads here; an image that was made so on purpose, to let a guest reach metadata.

QEMU does not compare owners; qemu-img check sees only that the refcount does not fit, if it does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.rules.base import entry_evidence, guest_impact
from qcow2inspect.rules.spans import (
    KEPT_CLUSTERS,
    SHOWN,
    grouped,
    guest_of,
    metadata_names,
    owners_of,
    pointer_evidence,
    survey_rule,
)
from qcow2inspect.survey.claims import Owner
from qcow2inspect.survey.faults import Fault, clusters_of
from qcow2inspect.units import bytes_of, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    clusters = [
        cluster
        for cluster in clusters_of(survey.faults.first(Fault.METADATA_TWICE), KEPT_CLUSTERS)
        if _is_ours(survey, int(cluster))
    ]
    clusters += list(clusters_of(survey.faults.first(Fault.MIXED_DATA), KEPT_CLUSTERS))
    if not clusters:
        return
    names = [f"cluster {cluster} belongs to {owners_of(survey, int(cluster))}" for cluster in clusters[:SHOWN]]
    entries = [entry for cluster in clusters for entry in survey.referrers.get(int(cluster), [])]
    paths = [path for cluster in clusters[:SHOWN] for _, path in metadata_names(survey, int(cluster))]
    found = [entry_evidence(survey, entry) for entry in entries[:SHOWN]]
    found += [each for path in dict.fromkeys(paths) if (each := pointer_evidence(survey, path)) is not None]
    guest = guest_of(survey, entries)
    message = f"{counted(len(clusters), 'host cluster')} with owners that exclude each other: {grouped(names)}"
    yield Finding(
        "QCOW-MAP-OVERLAP",
        Severity.ERROR,
        Category.CORRUPTION,
        message + guest_impact(guest),
        tuple(found[:SHOWN]),
        tuple(guest[:SHOWN]),
        len(clusters),
        guest_bytes=bytes_of(guest),
    )


def _is_ours(survey: Survey, cluster: int) -> bool:
    """Overlaps of L2 tables and refcount blocks are told by rules of their own."""
    owners = {owner for owner, _ in metadata_names(survey, cluster)}
    return not owners & {Owner.L2, Owner.L2_SNAPSHOT, Owner.REFCOUNT_BLOCK}


RULE = survey_rule(
    __name__,
    "QCOW-MAP-OVERLAP",
    Severity.ERROR,
    find=_find,
    spec="Host cluster management",
)
