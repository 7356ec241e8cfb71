"""The report as one table for spreadsheets: a line for each value.

A spreadsheet takes a cell that starts with ``=``, ``+``, ``-`` or ``@`` for a formula and runs it; such cells get an
apostrophe in front, which spreadsheets do not show.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from qcow2inspect.dossier.values import Nothing, Size, words
from qcow2inspect.layout.structure import visible
from qcow2inspect.reports.base import Format, evidence_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qcow2inspect.dossier.section import Proof, Report, Section
    from qcow2inspect.dossier.values import Value
    from qcow2inspect.findings import Finding

__all__ = ["COLUMNS", "FORMAT", "harmless", "render_csv"]

COLUMNS = ("section", "table", "row", "column", "value")
_FORMULA = ("=", "+", "-", "@")


def render_csv(report: Report) -> str:
    """The table, with a line of titles."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows(tuple(map(harmless, line)) for line in _lines(report))
    return out.getvalue()


FORMAT = Format("csv", ".csv", "one table for spreadsheets", render_csv, 1)

Line = tuple[str, str, str, str, str]


def harmless(cell: str) -> str:
    """A cell that no spreadsheet runs; every character is printable already."""
    return f"'{cell}" if cell.lstrip().startswith(_FORMULA) else cell


def _lines(report: Report) -> Iterator[Line]:
    for section in report.sections:
        yield from _section(section)
        if section.key == "findings":
            for number, finding in enumerate(report.findings):
                yield from _finding(number, finding, report.proofs.get(number, ()))
    if report.provenance is not None:
        yield from _section(report.provenance)


def _cell(value: Value) -> str:
    """Numbers without separators, so that they stay numbers."""
    if isinstance(value, Size) or (type(value) is int and not isinstance(value, Nothing)):
        return str(int(value))
    return words(value)


def _section(section: Section) -> Iterator[Line]:
    for number, text in enumerate(section.prose):
        yield (section.key, "", str(number), "text", visible(text))
    for field in section.fields:
        yield (section.key, "", "", field.key, _cell(field.value))
        if field.note:
            yield (section.key, "", "", f"{field.key}_note", visible(field.note))
    for table in section.tables:
        for number, row in enumerate(table.rows):
            for (key, _), value in zip(table.columns, row, strict=True):
                yield (section.key, table.key, str(number), key, _cell(value))
        if not table.rows:
            yield (section.key, table.key, "", "", table.nothing.value)
        if table.more:
            yield (section.key, table.key, "", "more", str(table.more))


def _finding(number: int, finding: Finding, proofs: Sequence[Proof]) -> Iterator[Line]:
    row = ("findings", "findings", str(number))
    yield (*row, "code", finding.code)
    yield (*row, "severity", str(finding.severity))
    yield (*row, "category", str(finding.category))
    yield (*row, "count", str(finding.count))
    yield (*row, "message", visible(finding.message))

    for place, proof in enumerate(proofs):
        yield (*row, f"evidence_{place}", visible(evidence_words(proof.evidence, hidden=proof.hidden)))
