"""Hides names in a report: paths, names of snapshots and bitmaps, whatever somebody called something.

Every name becomes ``[name 1]``, ``[name 2]`` and so on, the same name always the same number, so that a reader still
sees what belongs together. Text that is not a name may quote one: whatever stands in quotation marks goes too.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from qcow2inspect.dossier.gist import Dossier, State
from qcow2inspect.dossier.section import Exhibit, Field, Report, Section, Table
from qcow2inspect.dossier.values import Hidden, Name, Value
from qcow2inspect.layout.structure import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qcow2inspect.dossier.section import Proof
    from qcow2inspect.findings import Evidence, Finding

__all__ = ["Redactor", "redacted"]

_QUOTED = re.compile("“[^”]*”?")
_TEXT_FIELDS = re.compile(r"(?:^|\.)(?:name|id|data|backing_file_name|unknown_extra_data|uuid|padding)$")


class Redactor:
    """Replaces names by numbers.

    Args:
        paths: paths that may stand inside of any text.
        names: names that may stand in a text without quotation marks.
    """

    def __init__(self, paths: Iterable[str], names: Iterable[str] = ()) -> None:
        self._numbers: dict[str, int] = {}
        forms = {form for path in paths for form in (path, os.path.realpath(path), os.path.basename(path)) if form}
        self._forms = sorted({*forms, *map(visible, forms), *names}, key=len, reverse=True)

    def name(self, name: str) -> Hidden:
        """What stands in the place of a name."""
        return Hidden(f"[name {self._numbers.setdefault(name, len(self._numbers) + 1)}]")

    def text(self, text: str) -> str:
        """Text without the names in it."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, self.name(form))
        return _QUOTED.sub(lambda match: f"“{self.name(match.group())}”", text)

    def value(self, value: Value) -> Value:
        """A value without names."""
        if isinstance(value, Name):
            return self.name(value) if value else value
        return self.text(value) if type(value) is str else value

    # -- parts of a report --------------------------------------------------------------------------------------

    def section(self, section: Section) -> Section:
        """A section without names."""
        return replace(
            section,
            prose=tuple(map(self.text, section.prose)),
            fields=tuple(map(self._field, section.fields)),
            tables=tuple(map(self._table, section.tables)),
        )

    def _field(self, field: Field) -> Field:
        note = self.name(field.note) if isinstance(field.note, Name) else self.text(field.note)
        return replace(field, value=self.value(field.value), note=note)

    def _table(self, table: Table) -> Table:
        return replace(table, rows=tuple(self._row(table, row) for row in table.rows))

    def _row(self, table: Table, row: tuple[Value, ...]) -> tuple[Value, ...]:
        """A row; in tables of fields the bytes of names are hidden where the field is a name."""
        keys = [key for key, _ in table.columns]
        if "path" in keys and "raw" in keys and _TEXT_FIELDS.search(str(row[keys.index("path")])):
            return tuple(Hidden("[hidden]") if key in ("raw", "value") else v for key, v in zip(keys, row, strict=True))
        return tuple(map(self.value, row))

    def finding(self, finding: Finding) -> Finding:
        """A finding without names; the values of fields that hold text go too."""
        evidence = tuple(
            replace(item, raw=0 if self._is_text(item.path) else item.raw, shown="") for item in finding.evidence
        )
        return replace(finding, message=self.text(finding.message), evidence=evidence)

    def _is_text(self, path: str) -> bool:
        """True if the bytes at a path may spell something: a field of text, or bytes that no structure names."""
        return bool(_TEXT_FIELDS.search(path)) or path.startswith(("0x", "ext["))

    def dossier(self, dossier: Dossier) -> Dossier:
        """A dossier without names."""
        return replace(
            dossier,
            name=self.name(dossier.name),
            summary=tuple(map(self.text, dossier.summary)),
            facts=[(label, self.text(value)) for label, value in dossier.facts],
            states=[State(state.name, state.on, self.text(state.shown)) for state in dossier.states],
            findings=tuple(map(self.finding, dossier.findings)),
            not_checked=tuple(map(self.text, dossier.not_checked)),
        )


def redacted(report: Report, paths: Iterable[str], names: Iterable[str] = ()) -> Report:
    """A report without paths and names; see :class:`Redactor`."""
    redactor = Redactor(paths, names)
    dossier = redactor.dossier(report.dossier)
    proofs = {
        number: [replace(proof, evidence=evidence) for evidence, proof in _pairs(dossier, number, proofs)]
        for number, proofs in report.proofs.items()
    }
    exhibit = report.exhibit
    return replace(
        report,
        title=redactor.text(report.title),
        dossier=dossier,
        sections=tuple(map(redactor.section, report.sections)),
        provenance=redactor.section(report.provenance) if report.provenance else None,
        exhibit=Exhibit(redactor.name(exhibit.path), exhibit.size, exhibit.modified, exhibit.hashes),
        proofs=proofs,
    )


def _pairs(dossier: Dossier, number: int, proofs: Iterable[Proof]) -> Iterable[tuple[Evidence, Proof]]:
    return zip(dossier.findings[number].evidence, proofs, strict=True)
