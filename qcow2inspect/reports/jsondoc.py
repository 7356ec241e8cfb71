"""The report as one JSON document; ``schemas/report.json`` says what may stand in it.

Numbers are numbers, bytes and offsets too. A number that a reader with floating point would round (beyond 2^53)
has a neighbour that ends in ``_hex`` and says it as a string. What is not there is an object that says why not.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qcow2inspect.dossier.values import Nothing, Time, words
from qcow2inspect.layout.structure import visible
from qcow2inspect.reports.base import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qcow2inspect.dossier.section import ClusterMap, Excerpt, Proof, Report, Section, Table
    from qcow2inspect.dossier.values import Value
    from qcow2inspect.findings import Finding

__all__ = [
    "FORMAT",
    "SCHEMA",
    "VERSION",
    "finding_document",
    "json_document",
    "plain",
    "put",
    "render_json",
    "row_document",
]

SCHEMA = "qcow2inspect/report"
VERSION = "1.0"
_EXACT = 1 << 53


def render_json(report: Report) -> str:
    """The document, indented, in plain ASCII."""
    return json.dumps(json_document(report), indent=2) + "\n"


FORMAT = Format("json", ".json", "one JSON document", render_json, 2)


def json_document(report: Report) -> dict[str, Any]:
    """The document as data."""
    dossier = report.dossier
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "schema_version": VERSION,
        "title": visible(report.title),
        "image": visible(dossier.name),
        "verdict": dossier.verdict,
        "complete": dossier.complete,
        "states": {state.name: {"on": state.on, "shown": visible(state.shown)} for state in dossier.states},
        "sections": {section.key: _section(section) for section in report.sections},
    }
    if report.section("findings"):
        document["findings"] = [
            finding_document(finding, report.proofs.get(number, ())) for number, finding in enumerate(report.findings)
        ]
    if report.map is not None:
        document["map"] = _map(report.map)
    if report.provenance is not None:
        document["provenance"] = _section(report.provenance)
    return document


def plain(value: Value) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Nothing):
        return {"nothing": value.value}
    if isinstance(value, (Time, str)):
        return words(value)
    return value if isinstance(value, bool) else int(value)


def put(document: dict[str, Any], key: str, value: Value) -> None:
    """Put a value under a key, and beside it as a string if it is a number that not every reader keeps."""
    document[key] = plain(value)
    if isinstance(value, int) and value >= _EXACT:
        document[f"{key}_hex"] = f"{int(value):#x}"


def row_document(table: Table, row: tuple[Value, ...]) -> dict[str, Any]:
    """A row as an object."""
    document: dict[str, Any] = {}
    for (key, _), value in zip(table.columns, row, strict=True):
        put(document, key, value)
    return document


def _section(section: Section) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for field in section.fields:
        put(fields, field.key, field.value)
        if field.note:
            fields[f"{field.key}_note"] = visible(field.note)
    return {
        "title": section.title,
        "prose": [visible(text) for text in section.prose],
        "fields": fields,
        "tables": {table.key: _table(table) for table in section.tables},
        "commands": [visible(command) for command in section.commands],
    }


def _table(table: Table) -> dict[str, Any]:
    document: dict[str, Any] = {"rows": [row_document(table, row) for row in table.rows], "more": table.more}
    if not table.rows:
        document["nothing"] = table.nothing.value
    return document


def finding_document(finding: Finding, proofs: Sequence[Proof] = ()) -> dict[str, Any]:
    """A finding as an object."""
    return {
        "code": finding.code,
        "severity": str(finding.severity),
        "category": str(finding.category),
        "message": visible(finding.message),
        "count": finding.count,
        "evidence": [_proof(proof) for proof in proofs],
        "guest": [_numbers(start=part.start, end=part.end) for part in finding.guest],
    }


def _numbers(**numbers: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in numbers.items():
        put(document, key, value)
    return document


def _proof(proof: Proof) -> dict[str, Any]:
    evidence = proof.evidence
    document = {
        "path": visible(evidence.path),
        **_numbers(offset=evidence.where.start, size=evidence.where.size),
        "raw": {"nothing": "hidden"} if proof.hidden else f"{evidence.raw:#x}",
        "command": visible(proof.command),
    }
    if proof.excerpt is not None:
        document["excerpt"] = _excerpt(proof.excerpt)
    return document


def _excerpt(excerpt: Excerpt) -> dict[str, Any]:
    pairs = ("??" if byte is None else f"{byte:02x}" for byte in map(excerpt.at, range(excerpt.size)))
    marked = {"start": excerpt.marked[0], "end": excerpt.marked[1]}
    return {**_numbers(offset=excerpt.start), "bytes": " ".join(pairs), "marked": marked}


def _map(figure: ClusterMap) -> dict[str, Any]:
    """The figure; neighbouring cells that are alike are said once."""
    runs: list[list[Any]] = []
    for counts in figure.cells:
        said = {kind: count for kind, count in zip(figure.kinds, counts, strict=True) if count}
        if runs and runs[-1][1] == said:
            runs[-1][0] += 1
        else:
            runs.append([1, said])
    return {
        **_numbers(size=figure.size, cell_size=figure.cell_size),
        "kinds": list(figure.kinds),
        "runs": [{"cells": number, "clusters": said} for number, said in runs],
    }
