"""The report as CASE/UCO JSON-LD: the file, the tool, the action of examining it, and the findings as annotations.

Identifiers are made from what they stand for, so that the same report has the same ones.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from qcow2inspect import __version__
from qcow2inspect.dossier.values import Time
from qcow2inspect.dossier.wishes import moment
from qcow2inspect.layout.structure import visible
from qcow2inspect.reports.base import Format, evidence_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qcow2inspect.dossier.section import Exhibit, Proof, Report
    from qcow2inspect.findings import Finding

__all__ = ["FORMAT", "render_case"]

_CONTEXT = {
    "kb": "urn:qcow2inspect:kb:",
    "case-investigation": "https://ontology.caseontology.org/case/investigation/",
    "uco-action": "https://ontology.unifiedcyberontology.org/uco/action/",
    "uco-core": "https://ontology.unifiedcyberontology.org/uco/core/",
    "uco-observable": "https://ontology.unifiedcyberontology.org/uco/observable/",
    "uco-tool": "https://ontology.unifiedcyberontology.org/uco/tool/",
    "uco-types": "https://ontology.unifiedcyberontology.org/uco/types/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_HASHES = {"md5": "MD5", "sha1": "SHA1", "sha256": "SHA256"}
_NAMESPACE = uuid.UUID("6f1d5a52-6f0e-5c1e-9d0b-0d1c2a3b4c5d")


def render_case(report: Report) -> str:
    """The document, indented, in plain ASCII."""
    return json.dumps({"@context": _CONTEXT, "@graph": _graph(report)}, indent=2) + "\n"


FORMAT = Format("case", ".jsonld", "CASE/UCO JSON-LD", render_case, 2)


def _graph(report: Report) -> list[dict[str, Any]]:
    file, tool = _node(report, "File", "file"), _node(report, "Tool", "tool")
    findings = [
        _finding(report, number, finding, report.proofs.get(number, ()))
        for number, finding in enumerate(report.findings)
    ]
    action = {
        "@id": _node(report, "InvestigativeAction", "action"),
        "@type": "case-investigation:InvestigativeAction",
        "uco-core:name": "examined",
        "uco-core:description": [visible(text) for text in (report.dossier.verdict, *report.dossier.summary)],
        "uco-action:instrument": {"@id": tool},
        "uco-action:object": {"@id": file},
        "uco-action:result": [{"@id": finding["@id"]} for finding in findings],
        **_when(report),
    }
    if not findings:
        del action["uco-action:result"]
    return [_file(file, report.exhibit), _tool(tool, report), action, *findings]


def _node(report: Report, kind: str, name: str) -> str:
    stated = f"{visible(report.exhibit.path)}\0{report.exhibit.size}\0{sorted(report.exhibit.hashes.items())}\0{name}"
    return f"kb:{kind}-{uuid.uuid5(_NAMESPACE, stated)}"


def _part(name: str, part: str) -> str:
    """Identifier of something that belongs to what is called ``name``."""
    return f"kb:{part}-{uuid.uuid5(_NAMESPACE, f'{name}/{part}')}"


def _typed(kind: str, value: str | int) -> dict[str, str]:
    return {"@type": f"xsd:{kind}", "@value": str(value)}


def _when(report: Report) -> dict[str, Any]:
    facts = {field.key: field.value for field in report.provenance.fields} if report.provenance else {}
    time = facts.get("time")
    return {"uco-action:startTime": _typed("dateTime", time.iso)} if isinstance(time, Time) else {}


def _tool(name: str, report: Report) -> dict[str, Any]:
    tool = {"@id": name, "@type": "uco-tool:Tool", "uco-core:name": "qcow2inspect"}
    return tool if report.provenance is None else {**tool, "uco-tool:version": __version__}


def _file(name: str, exhibit: Exhibit) -> dict[str, Any]:
    path = visible(exhibit.path)
    facet: dict[str, Any] = {
        "@id": _part(name, "facet"),
        "@type": "uco-observable:FileFacet",
        "uco-observable:fileName": path.rpartition("/")[2],
        "uco-observable:filePath": path,
    }
    if exhibit.size is not None:
        facet["uco-observable:sizeInBytes"] = _typed("integer", exhibit.size)
    if exhibit.modified is not None:
        facet["uco-observable:modifiedTime"] = _typed("dateTime", moment(exhibit.modified).iso)
    facets = [facet]
    hashes = [_hash(name, key, value) for key, value in exhibit.hashes.items() if key in _HASHES]
    if hashes:
        kind = {"@id": _part(name, "content"), "@type": "uco-observable:ContentDataFacet"}
        facets.append({**kind, "uco-observable:hash": hashes})
    return {"@id": name, "@type": "uco-observable:File", "uco-core:hasFacet": facets}


def _hash(name: str, method: str, value: str) -> dict[str, Any]:
    return {
        "@id": _part(name, method),
        "@type": "uco-types:Hash",
        "uco-types:hashMethod": _HASHES[method],
        "uco-types:hashValue": _typed("hexBinary", value),
    }


def _finding(report: Report, number: int, finding: Finding, proofs: Sequence[Proof]) -> dict[str, Any]:
    places = [visible(evidence_words(proof.evidence, hidden=proof.hidden)) for proof in proofs]
    return {
        "@id": _node(report, "Annotation", f"finding {number} {finding.code}"),
        "@type": "uco-core:Annotation",
        "uco-core:name": finding.code,
        "uco-core:tag": [str(finding.severity), str(finding.category)],
        "uco-core:statement": [visible(finding.message)],
        "uco-core:description": places or ["no single place"],
        "uco-core:object": {"@id": _node(report, "File", "file")},
    }
