"""The report as Markdown, in the dialect of GitHub: tables, code blocks, nothing else.

Text from the image is escaped so that it can make no mark, link, image or tag.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qcow2inspect.dossier.values import words
from qcow2inspect.layout.structure import visible
from qcow2inspect.reports.base import Format, dump_lines, evidence_words, map_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qcow2inspect.dossier.section import Proof, Report, Section, Table
    from qcow2inspect.findings import Finding

__all__ = ["FORMAT", "escaped", "render_markdown"]

_BEGIN = "<!-- BEGIN PROVENANCE: differs from run to run -->"
_END = "<!-- END PROVENANCE -->"


def render_markdown(report: Report) -> str:
    """The document."""
    return "\n".join(_lines(report)) + "\n"


FORMAT = Format("markdown", ".md", "Markdown", render_markdown)


def escaped(text: str) -> str:
    """Text that stands for itself; only marks that could mean something get a backslash."""
    shown = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = re.sub(r"([\\`*_\[\]|~!])", r"\\\1", shown)
    shown = shown.replace("://", "&#58;//").replace("@", "&#64;").replace("$", "&#36;")
    shown = re.sub(r"(?i)\bwww\.", "www&#46;", shown)
    return re.sub(r"^(\s*)([#+\-=]|\d+[.)])", _first, shown)


def _first(match: re.Match[str]) -> str:
    """What would start a heading, a list or a rule at the start of a line."""
    space, mark = match.groups()
    return f"{space}{mark[:-1]}\\{mark[-1]}"


def _lines(report: Report) -> Iterator[str]:
    yield f"# {escaped(report.title)}"
    for section in report.sections:
        count = f" ({len(report.findings)})" if section.key == "findings" else ""
        yield from ("", f"## {escaped(section.title)}{count}")
        yield from _parts(section)
        if section.key == "map" and report.map is not None:
            yield from ("", "```text", *map_lines(report), "```")
        if section.key == "findings":
            yield from _findings(report)
    if report.provenance is not None:
        yield from ("", _BEGIN, "", f"## {report.provenance.title}")
        yield from _parts(report.provenance)
        yield from ("", _END)


def _parts(section: Section) -> Iterator[str]:
    for text in section.prose:
        yield from ("", escaped(text))
    if section.fields:
        yield from ("", "| | |", "|---|---|")
        for field in section.fields:
            note = f" ({escaped(field.note)})" if field.note else ""
            yield f"| {escaped(field.label)} | {escaped(words(field.value))}{note} |"
    for table in section.tables:
        yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    yield from ("", f"### {escaped(table.title)}", "")
    if not table.rows:
        yield table.nothing.value
        return
    yield "| " + " | ".join(escaped(title) for _, title in table.columns) + " |"
    yield "|" + "---|" * len(table.columns)
    for row in table.rows:
        yield "| " + " | ".join(escaped(words(value)) for value in row) + " |"
    if table.more:
        yield from ("", f"and {table.more:,} more")


def _findings(report: Report) -> Iterator[str]:
    for number, finding in enumerate(report.findings):
        yield from _finding(finding, report.proofs.get(number, ()))
    if not report.findings:
        yield from ("", "none")


def _finding(finding: Finding, proofs: Sequence[Proof]) -> Iterator[str]:
    yield from ("", f"### {str(finding.severity).upper()} {finding.code}", "", escaped(finding.message))
    for proof in proofs:
        yield from ("", f"- {escaped(evidence_words(proof.evidence, hidden=proof.hidden))}")
        if proof.excerpt is not None:
            lines = [*dump_lines(proof.excerpt), f"$ {visible(proof.command)}"]
            fence = "`" * max([3, *(len(run) + 1 for line in lines for run in re.findall("`+", line))])
            yield from ("", f"  {fence}text", *(f"  {line}".rstrip() for line in lines), f"  {fence}")
    if proofs and finding.more:
        yield from ("", f"and {finding.more:,} more")
