"""The report as one HTML file: no script, no network, a figure, and a style for paper.

Text from the image is escaped where it becomes HTML, in :func:`html_text` and nowhere else; a policy in the file
forbids scripts and everything from outside all the same.
"""

from __future__ import annotations

from functools import cache
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

from qcow2inspect.dossier.values import Nothing, words
from qcow2inspect.layout.structure import visible
from qcow2inspect.reports.base import Format, evidence_words
from qcow2inspect.reports.figure import map_figure
from qcow2inspect.units import GuestOffset, HostOffset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qcow2inspect.dossier.section import Excerpt, Field, Proof, Report, Section, Table
    from qcow2inspect.dossier.values import Value
    from qcow2inspect.findings import Finding

__all__ = ["FORMAT", "html_text", "render_html"]

_LINE = 16
_FOLDED = 24
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_CODE = ("raw", "path", "code", "command", "address", "magic")


def render_html(report: Report) -> str:
    """The page."""
    return "\n".join(_page(report)) + "\n"


FORMAT = Format("html", ".html", "one web page, for screen and paper", render_html)


def html_text(text: str) -> str:
    """Text that stands for itself, in elements and in quoted attributes."""
    return escape(visible(text), quote=True)


@cache
def _style() -> str:
    return resources.files("qcow2inspect.reports").joinpath("webpage.css").read_text("utf-8")


def _page(report: Report) -> Iterator[str]:
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="referrer" content="no-referrer">'
    yield f"<title>{html_text(report.title)}</title>"
    yield f"<style>\n{_style()}</style></head><body>"
    yield from _header(report)
    links = ((section.key, section.title) for section in (*report.sections, report.provenance) if section)
    yield "<nav>" + " ".join(f'<a href="#{key}">{html_text(title)}</a>' for key, title in links) + "</nav>"
    yield "<main>"
    for section in report.sections:
        yield from _section(report, section)
    if report.provenance is not None:
        yield "<!-- BEGIN PROVENANCE: differs from run to run -->"
        yield from _section(report, report.provenance)
        yield "<!-- END PROVENANCE -->"
    yield "</main></body></html>"


def _header(report: Report) -> Iterator[str]:
    verdict = report.dossier.verdict
    tone = {"NO DAMAGE SEEN": " good", "DAMAGED": " bad", "CANNOT BE READ": " bad"}.get(verdict, "")
    yield f"<header><div><h1>{html_text(report.title)}</h1><p>{html_text(report.dossier.name)}</p>"
    yield f'<span class="verdict{tone}">{html_text(verdict)}</span>'
    for state in report.dossier.states:
        tone = "unknown" if state.on is None else "on" if state.on else "off"
        said = "not checked" if state.on is None else "yes" if state.on else "no"
        yield f'<span class="chip {tone}" title="{html_text(state.shown)}">{html_text(state.name)}: {said}</span>'
    yield "</div></header>"


def _section(report: Report, section: Section) -> Iterator[str]:
    tone = ' class="volatile"' if section is report.provenance else ""
    count = f" <small>({len(report.findings)})</small>" if section.key == "findings" else ""
    yield f'<section id="{html_text(section.key)}"{tone}><h2>{html_text(section.title)}{count}</h2>'
    yield from (f"<p>{html_text(text)}</p>" for text in section.prose)
    if section.fields:
        yield "<dl>" + "".join(map(_field, section.fields)) + "</dl>"
    if section.key == "map" and report.map is not None:
        yield from map_figure(report.map)
    for table in section.tables:
        yield from _table(table)
    if section.key == "findings":
        yield from _findings(report)
    yield from (f'<code class="command">{html_text(command)}</code>' for command in section.commands)
    yield "</section>"


_LONG = 36
"""Letters from which on a cell may break anywhere."""

_SHORT = 14
"""Letters up to which a cell does not break at all on paper."""


def _field(field: Field) -> str:
    note = f"<small>{html_text(field.note)}</small>" if field.note else ""
    return f"<dt>{html_text(field.label)}</dt><dd>{_value(field.value)}{note}</dd>"


def _value(value: Value) -> str:
    text = html_text(words(value))
    return f'<span class="nothing">{text}</span>' if isinstance(value, Nothing) or text == "zero" else text


def _table(table: Table) -> Iterator[str]:
    title = html_text(table.title)
    if not table.rows:
        yield f'<h3>{title}: <span class="nothing">{table.nothing.value}</span></h3>'
        return
    is_open = "" if table.long or len(table.rows) > _FOLDED else " open"
    yield f"<details{is_open}><summary>{title} ({len(table.rows) + table.more:,})</summary>"
    yield '<div class="scroll"><table><thead><tr>'
    yield "".join(f"<th>{html_text(label)}</th>" for _, label in table.columns) + "</tr></thead><tbody>"
    for row in table.rows:
        cells = zip(table.columns, row, strict=True)
        yield "<tr>" + "".join(_cell(key, value) for (key, _), value in cells) + "</tr>"
    yield "</tbody></table></div>"
    if table.more:
        yield f"<p>and {table.more:,} more</p>"
    yield "</details>"


def _cell(key: str, value: Value) -> str:
    kind = ""
    if isinstance(value, str) and ((len(value) >= 32 and value.isalnum()) or (key in _CODE and len(value) > _LONG)):
        kind = ' class="hash"'
    elif key in _CODE or isinstance(value, (HostOffset, GuestOffset)):
        kind = ' class="code"'
    elif isinstance(value, int):
        kind = ' class="num"'
    elif isinstance(value, str) and len(value) <= _SHORT:
        kind = ' class="short"'
    return f"<td{kind}>{_value(value)}</td>"


# -- findings ---------------------------------------------------------------------------------------------------------


def _findings(report: Report) -> Iterator[str]:
    for number, finding in enumerate(report.findings):
        title = report.titles.get(finding.code, "")
        yield from _finding(finding, title, report.proofs.get(number, ()))
    if not report.findings:
        yield '<p class="nothing">none</p>'


def _finding(finding: Finding, title: str, proofs: Sequence[Proof]) -> Iterator[str]:
    severity = str(finding.severity)
    yield f'<article class="{severity}"><h3><span class="sev">{severity}</span>{html_text(finding.code)}'
    yield f' <span class="title">{html_text(title)} · {finding.category}</span></h3>'
    yield f"<p>{html_text(finding.message)}</p>"
    bare = []
    for proof in proofs:
        if proof.excerpt is None:
            bare.append(proof)
        else:
            yield from _proof(proof, proof.excerpt)
    if bare:
        yield f"<details><summary>{len(bare)} more places</summary>"
        yield from (_place(proof) for proof in bare)
        yield "</details>"
    if proofs and finding.more:
        yield f"<p>and {finding.more:,} more</p>"
    yield "</article>"


def _place(proof: Proof) -> str:
    shown = f" ({html_text(proof.evidence.shown)})" if proof.evidence.shown else ""
    return f'<p class="place"><code>{html_text(evidence_words(proof.evidence, hidden=proof.hidden))}</code>{shown}</p>'


def _proof(proof: Proof, excerpt: Excerpt) -> Iterator[str]:
    yield _place(proof)
    lines = "\n".join(_dump(excerpt))
    yield f"<pre>{lines}</pre>"
    yield f'<code class="command">{html_text(proof.command)}</code>'


def _dump(excerpt: Excerpt) -> Iterator[str]:
    """The bytes around evidence, 16 a line; the evidence is marked in both columns."""
    for first in range(0, excerpt.size, _LINE):
        line = range(first, min(first + _LINE, excerpt.size))
        if all(excerpt.is_hidden(index) for index in line):
            continue
        pairs = _marked(excerpt, line, [_pair(excerpt, index) for index in line], " ")
        text = _marked(excerpt, line, [_letter(excerpt, index) for index in line], "")
        yield f'<span class="at">{excerpt.start + first:>10x}</span>  {pairs}  {text}'


def _marked(excerpt: Excerpt, line: range, cells: list[str], gap: str) -> str:
    """Cells in a row, those of the evidence in one mark."""
    inside = [cell for index, cell in zip(line, cells, strict=True) if excerpt.is_marked(index)]
    before = [cell for index, cell in zip(line, cells, strict=True) if index < excerpt.marked[0]]
    after = [cell for index, cell in zip(line, cells, strict=True) if index >= excerpt.marked[1]]
    marked = [f"<mark>{gap.join(inside)}</mark>"] if inside else []
    return gap.join([*before, *marked, *after])


def _pair(excerpt: Excerpt, index: int) -> str:
    byte = excerpt.at(index)
    if byte is not None:
        return f"{byte:02x}"
    return "**" if excerpt.is_hidden(index) else "??" if excerpt.data is None else "--"


def _letter(excerpt: Excerpt, index: int) -> str:
    byte = excerpt.at(index)
    if byte is None:
        return "*" if excerpt.is_hidden(index) else " "
    return escape(chr(byte)) if 0x20 <= byte < 0x7F else "."
