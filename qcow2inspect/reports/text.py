"""The report as plain text, 80 columns wide."""

from __future__ import annotations

import itertools
import textwrap
from typing import TYPE_CHECKING

from qcow2inspect.dossier.gist import Dossier
from qcow2inspect.dossier.report import bare_report
from qcow2inspect.dossier.values import words
from qcow2inspect.layout.structure import visible
from qcow2inspect.reports.base import Format, dump_lines, evidence_words, map_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from qcow2inspect.dossier.section import Proof, Report, Section, Table
    from qcow2inspect.findings import Finding
    from qcow2inspect.output import Identity

__all__ = ["FORMAT", "render_text", "text_lines", "write_report"]

_WIDTH = 80
_LABEL = 18
_GAP = 2


def render_text(report: Report | Dossier) -> str:
    """The whole report; the same report always gives the same text."""
    return "\n".join(text_lines(bare_report(report) if isinstance(report, Dossier) else report)) + "\n"


FORMAT = Format("text", ".txt", "plain text, 80 columns", render_text)


def write_report(
    report: Report | Dossier, path: str, *, force: bool = False, evidence: Collection[Identity] = ()
) -> None:
    """Write the report as text; see :func:`qcow2inspect.reports.write_report`.

    Raises:
        CannotExport: the file must not or cannot be written.
    """
    from qcow2inspect.reports import write_report as write

    write(
        bare_report(report) if isinstance(report, Dossier) else report,
        path,
        name="text",
        force=force,
        evidence=evidence,
    )


def text_lines(report: Report) -> Iterator[str]:
    """The report line by line, without line ends."""
    title = visible(report.title)
    yield from _wrapped(title)
    yield "=" * min(_WIDTH, len(title))
    for section in report.sections:
        yield from _section(report, section)
    if report.provenance is not None:
        yield from ("", "-----BEGIN PROVENANCE (differs from run to run)-----")
        yield from _parts(report.provenance)
        yield from ("", "-----END PROVENANCE-----")


def _section(report: Report, section: Section) -> Iterator[str]:
    count = f" ({len(report.findings)})" if section.key == "findings" else ""
    title = section.title + count
    yield from ("", "", title, "-" * len(title))
    yield from _parts(section)
    if section.key == "map":
        yield from ("", *map_lines(report))
    if section.key == "findings":
        yield from _findings(report)


def _parts(section: Section) -> Iterator[str]:
    for sentence in section.prose:
        yield from _wrapped(visible(sentence))
    for field in section.fields:
        note = f" ({visible(field.note)})" if field.note else ""
        yield from _wrapped(words(field.value) + note, first=_label(field.label), rest=" " * _LABEL)
    for table in section.tables:
        yield ""
        yield from _table(table)


def _label(label: str) -> str:
    return f"{label:<{_LABEL}}" if len(label) < _LABEL else f"{label}: "


def _table(table: Table) -> Iterator[str]:
    yield f"{table.title}: {len(table.rows):,}" if table.rows else f"{table.title}: {table.nothing.value}"
    rows = [[words(value) for value in row] for row in table.rows]
    titles = [title for _, title in table.columns]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    fitting = sum(end <= _WIDTH - _GAP for end in itertools.accumulate(widths, lambda a, b: a + _GAP + b))
    if rows and fitting >= min(2, len(widths)):
        yield from _grid(titles, rows, widths[:fitting])
    elif rows:
        yield from _records(titles, rows)
    if table.more:
        yield f"  and {table.more:,} more"


def _grid(titles: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    """Rows in columns; the cells of the last columns, which have no room, follow on lines of their own."""
    for row in (titles, *rows):
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False))
        yield (" " * _GAP + (" " * _GAP).join(cells)).rstrip()
        pairs = zip(titles, row, strict=True) if row is not titles else ()
        rest = "; ".join(f"{title}: {cell}" for title, cell in list(pairs)[len(widths) :] if cell)
        if rest:
            yield from _wrapped(rest, first=" " * 8, rest=" " * 8)


def _records(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows that are too wide: the first cell, then the others under it."""
    label = max(map(len, titles)) + _GAP
    for row in rows:
        yield from _wrapped(row[0], first="  ", rest="    ")
        for title, cell in zip(titles[1:], row[1:], strict=True):
            if cell:
                yield from _wrapped(cell, first=f"    {title:<{label}}", rest=" " * (label + 4))


def _findings(report: Report) -> Iterator[str]:
    for number, finding in enumerate(report.findings):
        yield ""
        yield from _finding(finding, report.titles.get(finding.code, ""), report.proofs.get(number, ()))
    if not report.findings:
        yield from ("", "none")


def _finding(finding: Finding, title: str, proofs: Sequence[Proof]) -> Iterator[str]:
    lead = f"{finding.severity.upper():<8}{finding.code}  "
    yield from _wrapped(visible(finding.message), first=lead, rest=" " * 8)
    if title:
        yield from _wrapped(f"{title} ({finding.category})", first=" " * 8, rest=" " * 8)
    hidden = {proof.evidence for proof in proofs if proof.hidden}
    shown = {proof.evidence: proof for proof in proofs}
    for evidence in finding.evidence:
        yield from _wrapped(evidence_words(evidence, hidden=evidence in hidden), first=" " * 8, rest=" " * 10)
        proof = shown.get(evidence)
        if proof is not None and proof.excerpt is not None:
            yield from (line.rstrip() for line in dump_lines(proof.excerpt))
            yield from _wrapped(visible(proof.command), first=" " * 8 + "$ ", rest=" " * 10)
    if finding.evidence and finding.more:
        yield f"        and {finding.more:,} more"


def _wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    wrapper = textwrap.TextWrapper(
        _WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=True, break_on_hyphens=False
    )
    return wrapper.wrap(text) or [first.rstrip()]
