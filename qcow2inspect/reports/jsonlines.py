"""The report as JSON, one object a line: the first says what it is, the last how many there should have been.

Snapshots are events too, with ``datetime``, ``timestamp_desc`` and ``message`` as timelines want them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qcow2inspect.dossier.values import Time
from qcow2inspect.layout.structure import visible
from qcow2inspect.reports.base import Format
from qcow2inspect.reports.jsondoc import finding_document, put, row_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.dossier.section import Report, Section

__all__ = ["FORMAT", "SCHEMA", "line_documents", "render_jsonl"]

SCHEMA = "qcow2inspect/report-lines"
VERSION = "1.0"


def render_jsonl(report: Report) -> str:
    """The lines, in plain ASCII."""
    return "".join(json.dumps(document) + "\n" for document in line_documents(report))


FORMAT = Format("jsonl", ".jsonl", "JSON, one object a line", render_jsonl, 2)


def line_documents(report: Report) -> Iterator[dict[str, Any]]:
    """The objects in order."""
    number = 1
    dossier = report.dossier
    start = {"type": "report", "schema": SCHEMA, "schema_version": VERSION, "title": visible(report.title)}
    yield {**start, "image": visible(dossier.name), "verdict": dossier.verdict, "complete": dossier.complete}
    for line in _body(report):
        number += 1
        yield line
    yield {"type": "end", "lines": number + 1, "findings": len(report.findings)}


def _body(report: Report) -> Iterator[dict[str, Any]]:
    for section in report.sections:
        yield from _section(section)
        if section.key == "findings":
            for number, finding in enumerate(report.findings):
                yield {"type": "finding", **finding_document(finding, report.proofs.get(number, ()))}
    if report.provenance is not None:
        yield from _section(report.provenance)


def _section(section: Section) -> Iterator[dict[str, Any]]:
    for text in section.prose:
        yield {"type": "text", "section": section.key, "text": visible(text)}
    for field in section.fields:
        document: dict[str, Any] = {"type": "field", "section": section.key, "field": field.key}
        put(document, "value", field.value)
        yield {**document, "note": visible(field.note)} if field.note else document
    for table in section.tables:
        for row in table.rows:
            values = row_document(table, row)
            said: dict[str, Any] = {"type": "row", "section": section.key, "table": table.key, "values": values}
            when = next((value for value in row if isinstance(value, Time)), None)
            if when is not None and table.key == "snapshots":
                event = {"timestamp_desc": "Snapshot taken", "message": f"snapshot {values['name']}"}
                said |= {"datetime": when.iso, **event}
            yield said
        if not table.rows:
            yield {"type": "nothing", "section": section.key, "table": table.key, "why": table.nothing.value}
        if table.more:
            yield {"type": "more", "section": section.key, "table": table.key, "rows": table.more}
    for command in section.commands:
        yield {"type": "command", "section": section.key, "command": visible(command)}
