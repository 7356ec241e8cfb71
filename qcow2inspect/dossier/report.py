"""From an open chain and its dossier to a report."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from qcow2inspect.dossier.clusters import allocation_section, cluster_map, map_section
from qcow2inspect.dossier.gist import Dossier, compile_dossier, compile_v1_dossier, with_changes
from qcow2inspect.dossier.proof import checks_section, findings_section, proofs_of, titles
from qcow2inspect.dossier.section import Exhibit, Field, Report, Section, Table
from qcow2inspect.dossier.structure import bitmap_section, encryption_section, header_section, snapshot_section
from qcow2inspect.dossier.surroundings import (
    chain_section,
    exhibit_of,
    exhibit_section,
    provenance_section,
    sources_of,
)
from qcow2inspect.dossier.values import Name, Nothing, Value
from qcow2inspect.dossier.wishes import Wishes
from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.image.image import Image
from qcow2inspect.layout.structure import brief, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qcow2inspect.dossier.gist import State
    from qcow2inspect.dossier.section import ClusterMap
    from qcow2inspect.image.chain import AnyImage, Chain
    from qcow2inspect.progress import Progress

__all__ = ["bare_report", "compile_report", "examine_chain"]

_TOOL = "qcow2inspect"

_WORDS = (
    "Where there is no value, one of four words says why: absent (the image has no such thing), zero (it has it, and "
    "the number is 0), unreadable (it is there and cannot be read), not checked (nobody looked)."
)
_FORMATS = ("qcow2", "qcow", "vmdk", "vhdx", "luks", "host_device")
_HOW = (
    "Evidence files are opened for reading only and never mapped; what they name is opened only where that was "
    "allowed. Numbers come from the bytes of the file, read by the rules of the qcow2 specification. Each command "
    "prints again what its section says."
)


def examine_chain(chain: Chain, progress: Progress | None = None) -> Dossier:
    """Read the tables of the image at the top of a chain and apply the rules.

    Raises:
        CannotRead: the image file cannot be read.
        Cancelled: the user asked to stop.
    """
    from qcow2inspect.rules import examine
    from qcow2inspect.survey.survey import take_survey

    image = chain.top
    if not isinstance(image, Image):
        return compile_v1_dossier(image)
    survey = take_survey(image, progress, chain)
    return compile_dossier(image, survey, examine(survey))


def compile_report(chain: Chain, dossier: Dossier, wishes: Wishes | None = None) -> Report:
    """Lay out what is known of an image and of the files it names.

    The same files, dossier and wishes give the same report, but for its provenance.

    Args:
        chain: the open image; files that are not opened are reported as such.
        dossier: what is known of it.
        wishes: which sections, what to hide, what to add.

    Raises:
        CannotRead: the image file cannot be read.
    """
    wishes = wishes or Wishes()
    dossier = _with_opened(with_changes(dossier, sources_of(chain)), chain)
    report = _Layout(chain, dossier, wishes).report()
    if not wishes.redact:
        return report
    from qcow2inspect.dossier.redact import redacted

    return redacted(report, [source.name for source in sources_of(chain)], _bare_names(chain.top))


def _bare_names(image: AnyImage) -> list[str]:
    """Text of the image that messages do not put in quotation marks; the shortest of it hides nothing."""
    if not isinstance(image, Image):
        return []
    texts = [image.backing_format, *(snapshot.id for snapshot in image.snapshots)]
    shown = {form for text in texts for form in (printable(text), brief(text), printable(text.split(b"\0")[0]))}
    return [text for text in shown if len(text) > 3 and text not in _FORMATS]


def _with_opened(dossier: Dossier, chain: Chain) -> Dossier:
    """The dossier with what the header could not know: which of the files that it names are open."""
    first = chain.layers[0]
    data_file = first.data_file is not None and not isinstance(first.data_file, Qcow2InspectError)
    opened = {"backing file": len(chain.layers) > 1, "overlay": len(chain.layers) > 1, "data file": data_file}
    return replace(
        dossier,
        facts=[(label, _said(value, opened.get(label, False))) for label, value in dossier.facts],
        states=[replace(state, shown=_said(state.shown, opened.get(state.name, False))) for state in dossier.states],
    )


def _said(text: str, is_open: bool) -> str:
    return text.removesuffix(", not opened") + ", opened read-only" if is_open else text


def bare_report(dossier: Dossier) -> Report:
    """What a dossier alone has to say, for whoever has no open image any more."""
    parts = (_summary(dossier), findings_section(dossier.findings, _TOOL), _completeness(dossier, ()))
    title = f"{_TOOL} report: {dossier.name.rpartition('/')[2]}"
    return Report(title, dossier, parts, None, Exhibit(dossier.name), titles=titles())


class _Layout:
    """Makes the sections that are asked for."""

    def __init__(self, chain: Chain, dossier: Dossier, wishes: Wishes) -> None:
        self._chain = chain
        self._dossier = dossier
        self._wishes = wishes
        self._image = chain.top

    def report(self) -> Report:
        wishes, image = self._wishes, self._image
        figure = cluster_map(image) if wishes.wants("map") and self._dossier.surveyed else None
        made = (make() for key, make in self._makers(figure).items() if wishes.wants(key))
        sections = [section for section in made if section is not None]
        if wishes.wants("method"):
            sections = [section if section.key != "method" else _method(sections) for section in sections]
        shown = self._dossier.findings if wishes.wants("findings") else ()
        return Report(
            title=f"{_TOOL} report: {self._dossier.name.rpartition('/')[2]}",
            dossier=self._dossier,
            sections=tuple(self._named(section) for section in sections),
            provenance=provenance_section(self._chain, wishes) if wishes.wants("provenance") else None,
            exhibit=exhibit_of(self._chain, wishes),
            proofs={
                number: [replace(proof, command=self._command(proof.command)) for proof in proofs]
                for number, proofs in proofs_of(image, shown, _TOOL, redact=wishes.redact).items()
            },
            map=figure,
            titles=titles(),
        )

    def _makers(self, figure: ClusterMap | None) -> dict[str, Callable[[], Section | None]]:
        chain, dossier, wishes, image = self._chain, self._dossier, self._wishes, self._image
        return {
            "case": lambda: _case(wishes),
            "summary": lambda: _summary(dossier),
            "exhibit": lambda: exhibit_section(chain, wishes, _TOOL),
            "header": lambda: header_section(image, _TOOL),
            "chain": lambda: chain_section(chain, _TOOL),
            "snapshots": lambda: snapshot_section(image, _TOOL),
            "bitmaps": lambda: bitmap_section(image, _TOOL),
            "encryption": lambda: encryption_section(chain.layers[0], _TOOL),
            "allocation": lambda: allocation_section(image, dossier, _TOOL),
            "map": lambda: map_section(figure, _TOOL),
            "findings": lambda: findings_section(dossier.findings, _TOOL),
            "checks": lambda: checks_section(dossier, has_rules=isinstance(image, Image), sees_all=chain.is_whole),
            "completeness": lambda: _completeness(dossier, _not_seen(chain, wishes)),
            "notes": lambda: _notes(wishes),
            "method": lambda: Section("method", "Method"),
        }

    def _named(self, section: Section) -> Section:
        """The section with the image's path in its commands, and in the rows of the method."""
        tables = section.tables
        if section.key == "method":
            tables = tuple(
                replace(table, rows=tuple((row[0], self._command(str(row[1]))) for row in table.rows))
                for table in tables
            )
        return replace(section, commands=tuple(map(self._command, section.commands)), tables=tables)

    def _command(self, command: str) -> str:
        if self._wishes.redact:
            return command
        return command.replace("IMAGE", shlex.quote(self._image.name), 1)


def _case(wishes: Wishes) -> Section | None:
    if not wishes.case:
        return None
    fields = tuple(Field(label.lower().replace(" ", "_"), label, Name(value)) for label, value in wishes.case.items())
    return Section("case", "Case", fields=fields)


def _summary(dossier: Dossier) -> Section:
    columns = (("state", "state"), ("on", "is it so"), ("words", "in words"))
    rows = tuple(_state(state) for state in dossier.states)
    fields = (
        Field("verdict", "verdict", dossier.verdict),
        *(Field(label.lower().replace(" ", "_"), label, _fact(label, value)) for label, value in dossier.facts),
    )
    commands = (f"{_TOOL} info IMAGE",)
    return Section(
        "summary", "Summary", tuple(dossier.summary), fields, (Table("states", "Flags", columns, rows),), commands
    )


def _fact(label: str, value: str) -> Value:
    """A fact in words; what the file system stores differs from one copy to the next and stands in the provenance."""
    if value == "none":
        return Nothing.ABSENT
    return value.rpartition(", ")[0] if label == "file size" else value


def _state(state: State) -> tuple[Value, ...]:
    on: Value = Nothing.NOT_CHECKED if state.on is None else state.on
    said = "" if state.shown in ("no", "none", "not checked yet") else state.shown
    return (state.name, on, said)


def _not_seen(chain: Chain, wishes: Wishes) -> tuple[tuple[Value, ...], ...]:
    """What was not looked at because of what was not given or not allowed."""
    rows: list[tuple[Value, ...]] = []
    if chain.end is not None:
        rows.append(("what lies behind the last layer of the chain", Name(str(chain.end))))
    for number, layer in enumerate(chain.layers):
        for what, part in (("external data file", layer.data_file), ("guest data (encrypted)", layer.cipher)):
            if isinstance(part, Exception):
                rows.append((f"{what} of layer {number}", Name(str(part))))
    if len(chain.layers) > 1:
        amount = len(chain.layers) - 1
        rows.append(
            (f"structure of the {amount} backing file{'s' * (amount > 1)}", "the rules look at the image alone")
        )
    if not wishes.hashes:
        rows.append(("hashes", "none were asked for"))
    return tuple(rows)


def _completeness(dossier: Dossier, more: Iterable[tuple[Value, ...]]) -> Section:
    columns = (("what", "not checked"), ("why", "why"))
    why = "not looked at in this run"
    rows = (*((what, why) for what in dossier.not_checked), *more)
    prose = (_WORDS, "Everything in this list was left out of this examination; nothing is claimed about it.")
    return Section("completeness", "Completeness", prose, tables=(Table("not_checked", "Not checked", columns, rows),))


def _notes(wishes: Wishes) -> Section:
    notes = Table("notes", "Notes", (("note", "note"),), tuple((Name(note),) for note in wishes.notes))
    rows = tuple((address, Name(text)) for address, text in wishes.marks)
    marks = Table("marks", "Marks", (("address", "address"), ("note", "note")), rows)
    prose = ("These are the words of the examiner, not of the tool.",) if wishes.notes or wishes.marks else ()
    return Section("notes", "Notes and marks", prose, tables=(notes, marks))


def _method(sections: Iterable[Section]) -> Section:
    rows = tuple((section.title, command) for section in sections for command in section.commands)
    columns = (("section", "section"), ("command", "command"))
    return Section("method", "Method", (_HOW,), tables=(Table("commands", "Commands", columns, rows),))
