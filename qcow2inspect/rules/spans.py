"""What the rules about host clusters share: evidence, owners by name, guest ranges."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qcow2inspect.errors import BadAddress
from qcow2inspect.findings import Category, Evidence, Finding, Severity
from qcow2inspect.format.mapping import L2Entry
from qcow2inspect.image.address import resolve
from qcow2inspect.rules.base import Rule, entry_evidence, entry_guest, guest_impact, header_evidence, joined
from qcow2inspect.survey.claims import Owner
from qcow2inspect.survey.faults import Fault, clusters_of
from qcow2inspect.units import bytes_of, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from qcow2inspect.survey.faults import Span
    from qcow2inspect.survey.odd import OddEntry
    from qcow2inspect.survey.survey import Survey
    from qcow2inspect.units import GuestRange

__all__ = [
    "KEPT_CLUSTERS",
    "SHOWN",
    "evidence_at",
    "grouped",
    "guest_of",
    "is_self",
    "metadata_names",
    "overlap_findings",
    "owners_of",
    "pointer_evidence",
    "ranges_text",
    "refcount_evidence",
    "refcount_rule",
    "survey_rule",
]

SHOWN = 32
"""Pieces of evidence, and ranges, that a finding shows at most."""
KEPT_CLUSTERS = 1024
"""Clusters with a fault that are looked at one by one."""

_PATHS = {
    Owner.HEADER: "hdr",
    Owner.L1: "L1",
    Owner.REFCOUNT_TABLE: "rt",
    Owner.SNAPSHOT_TABLE: "snap",
    Owner.LUKS: "luks",
    Owner.BITMAP_DIRECTORY: "bitmap",
}


def survey_rule(
    module: str,
    code: str,
    severity: Severity,
    *,
    find: Callable[[Survey], Iterator[Finding]],
    spec: str,
    category: Category = Category.CORRUPTION,
) -> Rule:
    """A rule that makes its findings itself, from the tables."""
    return Rule(code, severity, category, spec, True, (sys.modules[module].__doc__ or "").strip(), find)


def evidence_at(survey: Survey, path: str) -> Evidence | None:
    """The bytes at an address; None if there is no such place."""
    try:
        node = resolve(survey.tree, path).node
    except BadAddress:
        return None
    where = node.where
    if path.startswith("0x"):  # a bare offset, which may lie inside a structure
        path = str(where.start)
    return Evidence(where, path, int.from_bytes(survey.image.read(where.start, min(8, where.size)), "big"))


def refcount_evidence(survey: Survey, cluster: int) -> Evidence | None:
    """The stored refcount of a cluster, or the refcount table entry that names no block for it."""
    import numpy as np

    usage = survey.usage
    if usage is not None and usage.refcounts.is_covered(np.array([cluster]))[0]:
        return evidence_at(survey, f"ref[{cluster}]")
    return evidence_at(survey, f"rt[{cluster // survey.image.geometry.refcount_block_entries}]")


def ranges_text(spans: list[Span], most: int = 4) -> str:
    """Host clusters as words: ``clusters 4-7, 12 and 3 more ranges``."""
    parts = [f"{span.start}" if span.end == span.start + 1 else f"{span.start}-{span.end - 1}" for span in spans]
    more = f" and {counted(len(parts) - most, 'more range')}" if len(parts) > most else ""
    single = len(spans) == 1 and spans[0].end == spans[0].start + 1
    return f"host cluster{'' if single else 's'} {', '.join(parts[:most])}{more}"


def guest_of(survey: Survey, entries: Iterable[OddEntry]) -> list[GuestRange]:
    """The guest bytes of entries of the active state, joined."""
    return joined([entry_guest(survey, entry) for entry in entries if entry.mapping is survey.tree.active])


def _merged(spans: list[Span]) -> list[Span]:
    """Neighbouring spans as one, whatever their numbers are."""
    from dataclasses import replace

    merged: list[Span] = []
    for span in spans:
        if merged and merged[-1].end == span.start:
            merged[-1] = replace(merged[-1], end=span.end)
        else:
            merged.append(span)
    return merged


def refcount_rule(
    module: str,
    code: str,
    severity: Severity,
    *,
    fault: Fault,
    says: str,
    category: Category = Category.CORRUPTION,
    dirty: Severity | None = None,
) -> Rule:
    """A rule about host clusters with one fault of their refcount; all of them are one finding.

    Args:
        module: name of the rule's module, for its docstring.
        code: see :class:`~qcow2inspect.rules.base.Rule`.
        severity: see :class:`~qcow2inspect.rules.base.Rule`.
        fault: which fault.
        says: the message; ``{clusters}`` stands for their number, ``{where}`` for the first ranges,
            ``{stored}`` and ``{references}`` for the numbers of the first cluster.
        category: see :class:`~qcow2inspect.rules.base.Rule`.
        dirty: how much the finding weighs if the image was not closed cleanly; None for the same.
    """

    def check(survey: Survey) -> Iterator[Finding]:
        count = survey.faults.count.get(fault, 0)
        if not count:
            return
        spans = survey.faults.spans[fault]
        guest = guest_of(survey, _entries_in(survey, spans))
        words = {"clusters": counted(count, "host cluster"), "where": ranges_text(_merged(spans))}
        message = says.format(**words, stored=f"{spans[0].stored:,}", references=f"{spans[0].references:,}")
        found = [refcount_evidence(survey, cluster) for cluster in clusters_of(spans, SHOWN).tolist()]
        weight = dirty if dirty and survey.image.header.incompatible_features.dirty else severity
        shown = tuple({evidence.path: evidence for evidence in found if evidence}.values())
        ranges = tuple(guest[:SHOWN])
        yield Finding(code, weight, category, message + guest_impact(guest), shown, ranges, count, bytes_of(guest))

    explanation = (sys.modules[module].__doc__ or "").strip()
    return Rule(code, severity, category, "Host cluster management", True, explanation, check)


def _entries_in(survey: Survey, spans: list[Span]) -> Iterator[OddEntry]:
    """The known L2 entries that lead into some spans."""
    for cluster, entries in survey.referrers.items():
        if any(span.start <= cluster < span.end for span in spans):
            yield from entries


def metadata_names(survey: Survey, cluster: int) -> list[tuple[Owner, str]]:
    """The structures of metadata that claim a cluster: kind and address, each once."""
    if survey.usage is None:
        return []
    metadata = survey.usage.metadata
    found = [(Owner(int(metadata.owner[row])), int(metadata.index[row])) for row in metadata.of(cluster)]
    return sorted({(owner, _path(survey, owner, index)) for owner, index in found})


def _path(survey: Survey, owner: Owner, index: int) -> str:
    if owner in (Owner.L2, Owner.L2_SNAPSHOT) and survey.tables is not None:
        state = survey.states[int(survey.tables.state[index])]
        return f"{state.prefix}L1[{int(survey.tables.l1_index[index])}].L2"
    if owner is Owner.L1_SNAPSHOT:
        return f"{survey.states[index].prefix}L1"
    if owner is Owner.REFCOUNT_BLOCK:
        return f"rb[{index}]"
    if owner in (Owner.BITMAP_TABLE, Owner.BITMAP_DATA):
        return f"bitmap[{index}].table"
    return _PATHS.get(owner, "")


def owners_of(survey: Survey, cluster: int) -> str:
    """All that claims a cluster, in words: ``refcount block rb[0] and guest data L1[0].L2[3]``."""
    names = [f"{owner.word} {path}".strip() for owner, path in metadata_names(survey, cluster)]
    entries = survey.referrers.get(cluster, [])
    names += [f"guest data {entry_evidence(survey, entry).path}" for entry in entries[:2]]
    if len(entries) > 2:
        names.append("others")
    return " and ".join(names) or "nothing known"


def grouped(items: list[str], most: int = 3, *, count: int = 0) -> str:
    """The first of some texts, and how many more there are; ``count`` of them if they are not all given."""
    count = max(count, len(items))
    more = f"; and {count - most:,} more" if count > most else ""
    return "; ".join(items[:most]) + more


def pointer_evidence(survey: Survey, path: str) -> Evidence | None:
    """The bytes that say where a structure of metadata lies; None for the header, which lies where it lies."""
    if path.endswith(".L2"):
        return evidence_at(survey, path.removesuffix(".L2"))
    if path.startswith("rb["):
        return evidence_at(survey, f"rt{path.removeprefix('rb')}")
    fields = {"L1": "l1_table_offset", "rt": "refcount_table_offset", "snap": "snapshots_offset"}
    if path in fields:
        return header_evidence(survey.image, fields[path])
    return evidence_at(survey, path.replace(".L1", ".l1_table_offset")) if path.startswith("snap[") else None


def is_self(survey: Survey, entry: OddEntry) -> bool:
    """True if an L2 entry claims the cluster of its own table."""
    if entry.mapping is None or entry.l2_index is None or entry.raw & L2Entry.compressed.mask:
        return False
    table = entry.mapping.l1[entry.l1_index].l2_table_offset
    return L2Entry(entry.raw).host_cluster_offset == table


def overlap_findings(survey: Survey, code: str, owners: frozenset[Owner], *, says: str) -> Iterator[Finding]:
    """One finding for all clusters that two structures of metadata claim, one of them of the kind ``owners``."""
    clusters = clusters_of(survey.faults.first(Fault.METADATA_TWICE), KEPT_CLUSTERS).tolist()
    names = {cluster: metadata_names(survey, cluster) for cluster in clusters}
    ours = [cluster for cluster in clusters if owners & {owner for owner, _ in names[cluster]}]
    if not ours:
        return
    paths = [path for cluster in ours for owner, path in names[cluster] if owner in owners]
    found = (pointer_evidence(survey, path) for path in dict.fromkeys(paths[:SHOWN]))
    texts = [f"cluster {cluster} belongs to {owners_of(survey, cluster)}" for cluster in ours[:SHOWN]]
    message = says.format(count=counted(len(ours), "host cluster"), names=grouped(texts))
    guest = joined([part for path in paths for part in _span_of(survey, path)])
    evidence = tuple(each for each in found if each is not None)
    shown, touched = tuple(guest[:SHOWN]), bytes_of(guest)
    message += guest_impact(guest)
    yield Finding(code, Severity.ERROR, Category.CORRUPTION, message, evidence, shown, len(ours), touched)


def _span_of(survey: Survey, path: str) -> list[GuestRange]:
    """The guest bytes behind an L2 table of the active state."""
    if not (path.startswith("L1[") and path.endswith("].L2")):
        return []
    index = int(path[3 : path.index("]")])
    return [survey.image.geometry.guest_span(index).clip(0, survey.tree.active.size)]
