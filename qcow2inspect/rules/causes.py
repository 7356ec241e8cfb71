"""Findings that belong together: what one mishap leaves behind in many places becomes one group of a short list."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qcow2inspect.findings import Finding, Severity

__all__ = ["MOST", "Cause", "causes"]

MOST = 6
"""Groups in a list, at most."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Some findings, the heaviest first.

    Attributes:
        title: what they have in common; empty for a finding that stands alone.
        why: what they have in common, in a sentence or two.
        findings: at least one.
    """

    title: str
    why: str
    findings: tuple[Finding, ...]

    @property
    def severity(self) -> Severity:
        """That of the heaviest."""
        return self.findings[0].severity

    @property
    def count(self) -> int:
        """Places of all of them."""
        return sum(finding.count for finding in self.findings)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What makes findings one group."""

    title: str
    why: str
    holds: Callable[[Finding], bool]


def _of(*prefixes: str) -> Callable[[Finding], bool]:
    codes = tuple(f"QCOW-{prefix}" for prefix in prefixes)
    return lambda finding: finding.code.startswith(codes)


_SEVERAL_OWNERS = (
    *("L1-DUP", "L1-INTO", "L2-SHARED", "L2-INTO", "L2-SELF", "MAP-", "RB-INTO", "RT-DUP", "CMP-OVERLAP"),
    "IMG-ALIAS",
)
_ALONE = ("QCOW-L2-LOOKS-", "QCOW-L2-WIPED")
_KINDS = (
    _Kind(
        "what else there is to know",
        "Plain facts about how the image is made, and what is worth knowing when it is explained to somebody. "
        "None of it is damage.",
        lambda finding: finding.severity.rank > 2,
    ),
    _Kind(
        "refcounts that do not fit the use",
        "The refcounts, or the COPIED flags that repeat them, tell another story than the tables. Where tables were "
        "overwritten this follows from it: what they led to is still counted, and nothing leads there any more. "
        "Reading is not harmed; the next write of QEMU may be.",
        _of("REF-", "L1-COPIED", "L2-COPIED", "RB-SELF"),
    ),
    _Kind(
        "clusters with several owners",
        "Two structures, or two places of the disk, use the same bytes of the file: what is right for one is damage "
        "to the other. A writer that takes a used cluster for free leaves this behind.",
        _of(*_SEVERAL_OWNERS),
    ),
    _Kind(
        "entries of tables that make no sense",
        "Entries of L1, L2 or refcount tables with bits that must be zero, or with offsets where nothing can be.",
        _of("L1-", "L2-", "EXTL2-", "RT-"),
    ),
    _Kind("header and extensions", "What the first cluster says of the image.", _of("HDR-", "EXT-")),
    _Kind("files that the image names", "Its backing file, or its data file.", _of("BACK-", "DF-")),
    _Kind("snapshots and bitmaps", "Earlier states of the disk, and what backup programs keep.", _of("SNAP-", "BMP-")),
    _Kind("compressed or encrypted data", "What must be inflated or decrypted.", _of("CMP-", "CRY-")),
)


def causes(findings: Sequence[Finding], most: int = MOST) -> list[Cause]:
    """The findings in groups, the heaviest first: no more groups than ``most``, and no grouping where none is needed.

    Heavier is what weighs more by its severity, then what touches more guest bytes, then what comes first.
    """
    ordered = sorted(findings, key=attrgetter("weight"))
    groups = [Cause("", "", (finding,)) for finding in ordered]
    for kind in _KINDS:
        if len(groups) <= most:
            return groups
        groups = _folded(groups, kind)
    if len(groups) > most:
        rest = tuple(finding for group in groups[most - 1 :] for finding in group.findings)
        why = "What weighs less than the groups above."
        groups[most - 1 :] = [Cause("everything else", why, tuple(sorted(rest, key=attrgetter("weight"))))]
    return groups


def _folded(groups: list[Cause], kind: _Kind) -> list[Cause]:
    """The groups, with all single findings of a kind in one, which stands where the heaviest of them stood."""
    found = [
        group.findings[0]
        for group in groups
        if not group.title and kind.holds(group.findings[0]) and not group.findings[0].code.startswith(_ALONE)
    ]
    if len(found) < 2:
        return groups
    made: list[Cause] = []
    for group in groups:
        if group.title or group.findings[0] not in found:
            made.append(group)
        elif group.findings[0] is found[0]:
            made.append(Cause(kind.title, kind.why, tuple(found)))
    return made
