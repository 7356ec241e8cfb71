"""The result of a check as text: the verdict first, then each finding with place, meaning, and QEMU's view."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from qcow2inspect.findings import Severity
from qcow2inspect.layout.structure import visible
from qcow2inspect.rules import all_rules
from qcow2inspect.rules.outlook import repair_outlook
from qcow2inspect.rules.tables import differences
from qcow2inspect.survey.qemu import EXIT_CORRUPT, EXIT_LEAKS
from qcow2inspect.units import counted, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qcow2inspect.findings import Evidence, Finding
    from qcow2inspect.rules.base import Rule
    from qcow2inspect.survey.deep import Deep
    from qcow2inspect.survey.qemu import QemuCheck
    from qcow2inspect.survey.residues import Residue
    from qcow2inspect.survey.survey import Survey

__all__ = ["finding_document", "qemu_words", "render_check", "residue_document", "strict_exit_code", "verdict_of"]

_WIDTH = 100
_INDENT = 12
_EVIDENCE = 4
_RANGES = 1024


def verdict_of(survey: Survey, findings: Sequence[Finding]) -> str:
    """Two or three words in capitals."""
    if any(obstacle.blocks_reading for obstacle in survey.image.obstacles):
        return "CANNOT BE READ"
    if any(finding.severity.rank <= Severity.ERROR.rank for finding in findings):
        return "DAMAGED"
    if any(finding.severity.is_bad for finding in findings):
        return "READ THE WARNINGS"
    return "NO DAMAGE FOUND" if survey.complete else "NO DAMAGE FOUND IN A PART"


def render_check(
    survey: Survey, findings: Sequence[Finding], *, not_checked: Sequence[str], passed: int
) -> Iterator[str]:
    """The lines of the text.

    Args:
        survey: the facts.
        findings: what the rules say, heaviest first.
        not_checked: what nobody looked at.
        passed: how many other rules have looked and found nothing.
    """
    yield f"{visible(survey.image.name)}: {verdict_of(survey, findings)}"
    yield from _wrapped(_summary(findings))
    if not survey.complete:
        yield from _wrapped("The result is partial: see what was not checked, at the end.")
    yield from _wrapped(f"qemu-img check: {qemu_words(survey.qemu)}")
    yield from _wrapped(_statistics(survey.qemu))
    rules = {rule.code: rule for rule in all_rules()}
    shown = [finding for finding in findings if finding.severity is not Severity.INFO]
    for finding in shown:
        yield ""
        yield from _finding(finding, rules.get(finding.code))
    told = "QCOW-IMG-CHECKPARITY"  # in a section of its own
    facts = [finding for finding in findings if finding.severity is Severity.INFO and finding.code != told]
    if facts:
        yield ""
        for finding in facts:
            yield from _wrapped(finding.message, first="info    ", rest=" " * 8)
    yield from _section("Repair", list(repair_outlook(survey)))
    yield from _section("Where qemu-img check judges otherwise", list(differences(survey)))
    if survey.deep:
        yield from _section("Residues: “--residue KIND” of hexdump and export reads them", _residues(survey.deep))
    yield ""
    yield f"{counted(passed, 'other check')} passed."
    yield from _wrapped(f"Not checked: {'; '.join(not_checked) or 'nothing'}.")


def qemu_words(check: QemuCheck) -> str:
    """QEMU's verdict in words, with its exit code."""
    if check.failed:
        return f"ends without a verdict ({check.failed}), exit code {check.exit_code}"
    parts = [
        counted(number, one)
        for number, one in (
            (check.corruption_count, "corruption"),
            (check.leaks, "leak"),
            (check.check_errors, "check error"),
        )
        if number
    ]
    return f"{', '.join(parts) or 'no errors'}, exit code {check.exit_code}"


def _summary(findings: Sequence[Finding]) -> str:
    counts = {severity: sum(f.severity is severity for f in findings) for severity in Severity}
    damage = counts[Severity.FATAL] + counts[Severity.ERROR]
    parts = [counted(damage, "kind of damage", "kinds of damage"), counted(counts[Severity.WARNING], "warning")]
    parts.append(counted(counts[Severity.NOTE], "note"))
    return ", ".join(part for part in parts if not part.startswith("0 ")) or "No finding that needs attention"


def _statistics(check: QemuCheck) -> str:
    total, used = check.total_clusters, check.allocated_clusters
    if not total or not used:
        return f"{total:,} guest clusters, {used:,} allocated; clusters in use end at {check.image_end:#x}"
    return (
        f"{used:,} of {total:,} guest clusters allocated ({used / total:.1%}), "
        f"{check.fragmented_clusters / used:.1%} of them fragmented, {check.compressed_clusters / used:.1%} "
        f"compressed; clusters in use end at {check.image_end:#x}"
    )


def _finding(finding: Finding, rule: Rule | None) -> Iterator[str]:
    """A finding; one without a rule is about the file, not about what is in it."""
    title = rule.title if rule else "The file itself"
    yield from _wrapped(title, first=f"{finding.severity.upper():<8}", rest=" " * 8)
    yield f"{' ' * 8}{finding.code}"
    yield from _field("found", finding.message)
    for index, evidence in enumerate(finding.evidence[:_EVIDENCE]):
        yield from _field("where" if not index else "", _place(evidence))
    hidden = max(0, finding.count - min(_EVIDENCE, len(finding.evidence)))
    if finding.evidence and hidden:
        yield from _field("", f"and {hidden:,} more")
    if finding.guest:
        yield from _field("guest", _guest(finding))
    if rule is None:
        return
    means, otherwise, qemu = _explained(rule)
    yield from _field("means", means)
    yield from _field("or", otherwise)
    yield from _field("QEMU", qemu)
    yield from _field("next", f"qcow2inspect explain {finding.code}")


def _place(evidence: Evidence) -> str:
    return f"{evidence.path} at {evidence.where}: {evidence.raw:#x}"


def _guest(finding: Finding) -> str:
    total = sum(part.size for part in finding.guest)
    parts = ", ".join(str(part) for part in finding.guest[:_EVIDENCE])
    more = f" and {counted(len(finding.guest) - _EVIDENCE, 'more range')}" if len(finding.guest) > _EVIDENCE else ""
    return f"{parts}{more} ({human_size(total)})"


def _explained(rule: Rule) -> tuple[str, str, str]:
    """What a finding means, what else could explain it, what QEMU does: the paragraphs of the rule's text."""
    paragraphs = [" ".join(part.split()) for part in rule.explanation.split("\n\n")[1:]]
    other = next((part for part in paragraphs if part.startswith("What else could explain it:")), "")
    qemu = paragraphs[-1] if paragraphs and paragraphs[-1] != other else ""
    return paragraphs[0] if paragraphs else "", other.partition(":")[2].strip(), qemu


def _field(label: str, text: str) -> Iterator[str]:
    if text:
        yield from _wrapped(visible(text), first=f"    {label:<8}", rest=" " * _INDENT)


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield ""
        yield title
        for line in lines:
            yield from _wrapped(line, first="  - ", rest="    ")


def _wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def finding_document(finding: Finding) -> dict[str, Any]:
    """A finding as JSON."""
    return {
        "code": finding.code,
        "severity": str(finding.severity),
        "category": str(finding.category),
        "message": finding.message,
        "count": finding.count,
        "evidence": [
            {"path": each.path, "offset": int(each.where.start), "size": each.where.size, "raw": f"{each.raw:#x}"}
            for each in finding.evidence
        ],
        "guest": [{"start": int(part.start), "end": int(part.end)} for part in finding.guest],
    }


def _residues(deep: Deep) -> list[str]:
    return [_residue_line(residue) for residue in deep.residues] or ["none"]


def residue_document(residue: Residue) -> dict[str, Any]:
    """A kind of residue as JSON, with its first ranges."""
    return {
        "kind": residue.name,
        "title": residue.title,
        "count": residue.count,
        "size": residue.size,
        "ranges": [{"start": int(part.start), "end": int(part.end)} for part in residue.ranges[:_RANGES]],
    }


def _residue_line(residue: Residue) -> str:
    ranges = ", ".join(str(part) for part in residue.ranges[:_EVIDENCE])
    more = f" and {counted(residue.count - _EVIDENCE, 'more range')}" if residue.count > _EVIDENCE else ""
    return f"{residue.name}: {residue.title}, {human_size(residue.size)}: {ranges}{more}"


def strict_exit_code(survey: Survey, findings: Sequence[Finding]) -> int:
    """The exit code by what is found here rather than by QEMU's counters."""
    if any(finding.severity.rank <= Severity.ERROR.rank for finding in findings):
        return EXIT_CORRUPT
    if any(finding.severity.is_bad for finding in findings):
        return EXIT_LEAKS
    return survey.qemu.exit_code
