"""The findings as SARIF 2.1.0, which code hosts and editors show beside a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from qcow2inspect import __version__
from qcow2inspect.findings import Severity
from qcow2inspect.layout.structure import visible
from qcow2inspect.reports.base import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qcow2inspect.dossier.section import Exhibit, Proof, Report
    from qcow2inspect.findings import Finding

__all__ = ["FORMAT", "render_sarif"]

_LEVELS = {Severity.FATAL: "error", Severity.ERROR: "error", Severity.WARNING: "warning"}
_HASHES = {"md5": "md5", "sha1": "sha-1", "sha256": "sha-256", "blake2b": "blake2b-512"}
_LARGEST = (1 << 53) - 1


def render_sarif(report: Report) -> str:
    """The log, indented, in plain ASCII."""
    codes = sorted({finding.code for finding in report.findings})
    run: dict[str, Any] = {
        "tool": {"driver": _driver(report, codes)},
        "artifacts": [_artifact(report.exhibit)],
        "results": [
            _result(report, finding, report.proofs.get(number, ()), codes.index(finding.code))
            for number, finding in enumerate(report.findings)
        ],
        "columnKind": "unicodeCodePoints",
    }
    if report.provenance is not None:
        facts = {field.key: field.value for field in report.provenance.fields}
        run["invocations"] = [{"executionSuccessful": True, "commandLine": visible(str(facts["command"]))}]
        run["tool"]["driver"]["version"] = __version__
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


FORMAT = Format("sarif", ".sarif", "findings as SARIF 2.1.0", render_sarif, 2)


def _driver(report: Report, codes: Sequence[str]) -> dict[str, Any]:
    rules = [{"id": code, "shortDescription": {"text": report.titles.get(code, code)}} for code in codes]
    return {"name": "qcow2inspect", "rules": rules}


def _artifact(exhibit: Exhibit) -> dict[str, Any]:
    artifact: dict[str, Any] = {"location": {"uri": _uri(exhibit.path)}, "mimeType": "application/x-qemu-disk"}
    if exhibit.size is not None:
        artifact["length"] = exhibit.size
    hashes = {_HASHES.get(name, name): value for name, value in exhibit.hashes.items()}
    return {**artifact, "hashes": hashes} if hashes else artifact


def _uri(path: str) -> str:
    """The path as a URI reference; bytes that are no text stay what they are."""
    return quote(path.encode("utf-8", "surrogateescape"))


def _result(report: Report, finding: Finding, proofs: Sequence[Proof], index: int) -> dict[str, Any]:
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": _LEVELS.get(finding.severity, "note"),
        "message": {"text": visible(finding.message)},
        "occurrenceCount": finding.count,
        "locations": [_location(report, proof) for proof in proofs] or [_whole(report)],
        "properties": {"severity": str(finding.severity), "category": str(finding.category)},
    }


def _whole(report: Report) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(report.exhibit.path), "index": 0}}}


def _location(report: Report, proof: Proof) -> dict[str, Any]:
    where = proof.evidence.where
    location = _whole(report)
    if where.end <= _LARGEST:
        region = {"byteOffset": int(where.start), "byteLength": where.size}
        location["physicalLocation"]["region"] = region
    return {**location, "logicalLocations": [{"fullyQualifiedName": visible(proof.evidence.path)}]}
