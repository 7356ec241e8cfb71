"""The parts of a report: fields, tables and findings in sections, in order, without any form.

A format arranges these parts and knows nothing of images; a section knows nothing of formats.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qcow2inspect.dossier.values import Nothing, Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qcow2inspect.dossier.gist import Dossier
    from qcow2inspect.findings import Evidence, Finding

__all__ = ["ClusterMap", "Excerpt", "Exhibit", "Field", "Proof", "Report", "Section", "Table"]


@dataclass(frozen=True, slots=True)
class Field:
    """One fact.

    Attributes:
        key: its name for programs.
        label: its name for people.
        value: what is the case.
        note: what a reader must know about it; may be empty.
    """

    key: str
    label: str
    value: Value
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Facts of one kind.

    Attributes:
        key: its name for programs.
        title: its name for people.
        columns: key and label of each column.
        rows: as many values as there are columns.
        more: rows that exist and are not in ``rows``.
        nothing: the word for a table without rows.
        long: of interest only to who wants everything; may be folded away.
    """

    key: str
    title: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Value, ...], ...]
    more: int = 0
    nothing: Nothing = Nothing.ABSENT
    long: bool = False


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Bytes around a piece of evidence.

    Attributes:
        start: host offset of the first byte.
        data: the bytes; shorter than ``size`` where the file ends. None if they cannot be read.
        size: how many bytes there should be.
        marked: half-open range of indices into ``data``: the evidence itself.
        hidden: half-open ranges of indices whose bytes must not be shown.
    """

    start: int
    data: bytes | None
    size: int
    marked: tuple[int, int]
    hidden: tuple[tuple[int, int], ...] = ()

    def at(self, index: int) -> int | None:
        """The byte at an index; None if it is hidden, past the end of the file, or cannot be read."""
        if self.data is None or not 0 <= index < len(self.data):
            return None
        return None if self.is_hidden(index) else self.data[index]

    def is_hidden(self, index: int) -> bool:
        """True if the byte is there and must not be shown."""
        return any(low <= index < high for low, high in self.hidden)

    def is_marked(self, index: int) -> bool:
        """True if the byte is the evidence itself."""
        return self.marked[0] <= index < self.marked[1]


@dataclass(frozen=True, slots=True)
class Proof:
    """A piece of evidence with what a reader needs to see it and to see it again.

    Attributes:
        evidence: the bytes.
        excerpt: them and their neighbours; None where only the place is given.
        command: prints the same bytes again.
        hidden: the bytes must not be shown, as a number neither.
    """

    evidence: Evidence
    excerpt: Excerpt | None
    command: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class ClusterMap:
    """What the guest disk is made of, in cells of equal size.

    Attributes:
        cell_size: guest bytes of a cell.
        size: guest bytes of the disk.
        kinds: words for what a cluster can be, in order of importance: the first that is in a cell gives it its look.
        cells: for each cell the number of clusters of each kind.
    """

    cell_size: int
    size: int
    kinds: tuple[str, ...]
    cells: tuple[tuple[int, ...], ...]

    def kind(self, cell: int) -> str:
        """The most important kind of cluster in a cell."""
        return next((kind for kind, count in zip(self.kinds, self.cells[cell], strict=True) if count), self.kinds[-1])


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report that can be left out.

    Attributes:
        key: its name for programs and for the choice of sections.
        title: its name for people.
        prose: sentences.
        fields: facts.
        tables: facts in rows.
        commands: each repeats what is said here.
    """

    key: str
    title: str
    prose: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    tables: tuple[Table, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exhibit:
    """The file that was examined, for formats that have their own place for it.

    Attributes:
        path: as it was given.
        size: bytes; None if unknown.
        modified: time of last modification, seconds since 1970; None if unknown.
        hashes: name of the function and hexadecimal value, of the file as it is.
    """

    path: str
    size: int | None = None
    modified: float | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report says.

    Attributes:
        title: its first line.
        dossier: verdict, flags and findings.
        sections: in order; the one with the key ``findings`` stands where the findings are printed.
        provenance: the volatile facts, apart from everything else: when, where, by which command and versions.
        exhibit: the file.
        proofs: finding by finding the evidence that is shown.
        map: figure of the guest disk; None if its section was not asked for or the tables were not read.
        titles: code of a finding -> its rule in a few words.
    """

    title: str
    dossier: Dossier
    sections: Sequence[Section]
    provenance: Section | None
    exhibit: Exhibit
    proofs: Mapping[int, Sequence[Proof]] = field(default_factory=dict)
    map: ClusterMap | None = None
    titles: Mapping[str, str] = field(default_factory=dict)

    @property
    def findings(self) -> Sequence[Finding]:
        """The findings, if their section was asked for."""
        return self.dossier.findings if self.section("findings") else ()

    def section(self, key: str) -> Section | None:
        """The section with this key; None if it is not there."""
        return next((section for section in self.sections if section.key == key), None)
