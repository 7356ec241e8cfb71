"""The report as Digital Forensics XML 2.0: the image as a disk image object, findings in a name space of our own."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from qcow2inspect import __version__
from qcow2inspect.dossier.values import words
from qcow2inspect.layout.structure import visible
from qcow2inspect.reports.base import Format

if TYPE_CHECKING:
    from qcow2inspect.dossier.section import Exhibit, Proof, Report, Section, Table
    from qcow2inspect.findings import Finding

__all__ = ["DFXML", "FORMAT", "OWN", "render_dfxml"]

DFXML = "http://www.forensicswiki.org/wiki/Category:Digital_Forensics_XML"
"""The name space of DFXML."""
OWN = "urn:qcow2inspect:dfxml:1"
"""The name space of what DFXML has no words for."""
_DC = "http://purl.org/dc/elements/1.1/"
_HASHES = {"md5": "md5", "sha1": "sha1", "sha256": "sha256"}
_DISK_SECTOR = 512


def render_dfxml(report: Report) -> str:
    """The document."""
    for prefix, uri in (("", DFXML), ("dc", _DC), ("q", OWN)):
        ET.register_namespace(prefix, uri)
    root = ET.Element(_d("dfxml"), {"version": "2.0.0-beta.0"})
    metadata = ET.SubElement(root, _d("metadata"))
    _text(metadata, f"{{{_DC}}}type", "Disk Image")
    _text(metadata, f"{{{_DC}}}title", report.title)
    _creator(root, report)
    _text(ET.SubElement(root, _d("source")), _d("image_filename"), report.exhibit.path)
    _disk_image(root, report)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


FORMAT = Format("dfxml", ".dfxml", "Digital Forensics XML 2.0", render_dfxml, 2)


def _d(name: str) -> str:
    return f"{{{DFXML}}}{name}"


def _q(name: str) -> str:
    return f"{{{OWN}}}{name}"


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> ET.Element:
    """An element with text; what XML cannot hold is made visible."""
    element = ET.SubElement(parent, tag, attributes)
    element.text = visible(text)
    return element


def _creator(root: ET.Element, report: Report) -> None:
    creator = ET.SubElement(root, _d("creator"))
    _text(creator, _d("program"), "qcow2inspect")
    if report.provenance is None:
        return
    _text(creator, _d("version"), __version__)
    facts = {field.key: words(field.value) for field in report.provenance.fields}
    environment = ET.SubElement(creator, _d("execution_environment"))
    _text(environment, _d("command_line"), facts["command"])
    if facts["time"].endswith("Z"):
        _text(environment, _d("start_time"), facts["time"])
    libraries = next(table for table in report.provenance.tables if table.key == "libraries")
    for name, version in libraries.rows:
        ET.SubElement(creator, _d("library"), {"name": words(name), "version": words(version)})


def _disk_image(root: ET.Element, report: Report) -> None:
    """The image: what DFXML does not know comes first, as its schema wants it."""
    image = ET.SubElement(root, _d("diskimageobject"))
    _text(image, _q("verdict"), report.dossier.verdict)
    for section in report.sections:
        _section(image, section)
    for number, finding in enumerate(report.findings):
        _finding(image, finding, list(report.proofs.get(number, ())))
    _container(image, report.exhibit)
    _text(image, _d("sector_size"), str(_DISK_SECTOR))


def _container(image: ET.Element, exhibit: Exhibit) -> None:
    """The file as one run of bytes, with its hashes."""
    if exhibit.size is None:
        return
    runs = ET.SubElement(image, _d("byte_runs"))
    run = ET.SubElement(runs, _d("byte_run"), {"file_offset": "0", "len": str(exhibit.size)})
    for name, value in exhibit.hashes.items():
        if name in _HASHES:
            _text(run, _d("hashdigest"), value, type=_HASHES[name])


def _section(image: ET.Element, section: Section) -> None:
    element = ET.SubElement(image, _q("section"), {"key": section.key, "title": visible(section.title)})
    for text in section.prose:
        _text(element, _q("text"), text)
    for field in section.fields:
        note = {"note": visible(field.note)} if field.note else {}
        _text(element, _q("field"), words(field.value), key=field.key, **note)
    for table in section.tables:
        _table(element, table)
    for command in section.commands:
        _text(element, _q("command"), command)


def _table(parent: ET.Element, table: Table) -> None:
    nothing = {} if table.rows else {"nothing": table.nothing.value}
    element = ET.SubElement(parent, _q("table"), {"key": table.key, "more": str(table.more), **nothing})
    for row in table.rows:
        line = ET.SubElement(element, _q("row"))
        for (key, _), value in zip(table.columns, row, strict=True):
            _text(line, _q("cell"), words(value), key=key)


def _finding(image: ET.Element, finding: Finding, proofs: list[Proof]) -> None:
    facts = {"code": finding.code, "severity": str(finding.severity), "category": str(finding.category)}
    element = ET.SubElement(image, _q("finding"), {**facts, "count": str(finding.count)})
    _text(element, _q("message"), finding.message)
    for proof in proofs:
        evidence = proof.evidence
        raw = "[hidden]" if proof.hidden else f"{evidence.raw:#x}"
        part = ET.SubElement(element, _q("evidence"), {"path": visible(evidence.path), "raw": raw})
        runs = ET.SubElement(part, _d("byte_runs"))
        place = {"file_offset": str(int(evidence.where.start)), "len": str(evidence.where.size)}
        ET.SubElement(runs, _d("byte_run"), place)
