"""What formats are made of, and what several of them need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qcow2inspect.dossier.section import Excerpt, Report
    from qcow2inspect.findings import Evidence

__all__ = ["MAP_SIGNS", "Format", "dump_lines", "evidence_words", "map_lines"]

_LINE = 16
_CELLS = 64

MAP_SIGNS = {
    "missing or unreadable": "!",
    "not checked": "~",
    "invalid": "?",
    "compressed": "c",
    "normal": "#",
    "zero-alloc": "Z",
    "zero-plain": "z",
    "unallocated": ".",
}
"""Kind of cluster -> its sign where a figure is made of letters."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes:
        name: what ``--format`` calls it.
        suffix: how its files end; empty if it is not for files.
        title: what it is for.
        render: the report as text, of which UTF-8 is made.
        order: 0 for people, 1 for tables, 2 for programs.
    """

    name: str
    suffix: str
    title: str
    render: Callable[[Report], str]
    order: int = 0


def evidence_words(evidence: Evidence, *, hidden: bool) -> str:
    """A piece of evidence in a line: address, place, value."""
    digits = min(16, max(2, evidence.where.size * 2))
    value = "[hidden]" if hidden else f"{evidence.raw:0{digits}x}"
    return f"{evidence.path} at {evidence.where}: {value}"


def dump_lines(excerpt: Excerpt) -> Iterator[str]:
    """The bytes around evidence, 16 a line; the evidence stands in brackets."""
    for first in range(0, excerpt.size, _LINE):
        line = range(first, min(first + _LINE, excerpt.size))
        if all(excerpt.is_hidden(index) for index in line):
            continue
        cells = "".join(_lead(excerpt, index) + _pair(excerpt, index) for index in line)
        end = "]" if excerpt.is_marked(line[-1]) else " "
        text = "".join(_letter(excerpt, index) for index in line)
        yield f"{excerpt.start + first:>10x} {cells}{end} {text}"


def _lead(excerpt: Excerpt, index: int) -> str:
    """What stands before a byte: an opening bracket, a closing one, or a space."""
    if excerpt.is_marked(index):
        return "[" if index % _LINE == 0 or not excerpt.is_marked(index - 1) else " "
    return "]" if index % _LINE and excerpt.is_marked(index - 1) else " "


def _pair(excerpt: Excerpt, index: int) -> str:
    byte = excerpt.at(index)
    if byte is not None:
        return f"{byte:02x}"
    return "**" if excerpt.is_hidden(index) else "??" if excerpt.data is None else "--"


def _letter(excerpt: Excerpt, index: int) -> str:
    byte = excerpt.at(index)
    if byte is None:
        return "*" if excerpt.is_hidden(index) else " "
    return chr(byte) if 0x20 <= byte < 0x7F else "."


def map_lines(report: Report) -> Iterator[str]:
    """The figure of the guest disk in letters, and what they mean."""
    figure = report.map
    if figure is None:
        return
    for first in range(0, len(figure.cells), _CELLS):
        cells = range(first, min(first + _CELLS, len(figure.cells)))
        signs = "".join(MAP_SIGNS[figure.kind(cell)] for cell in cells)
        yield f"{first * figure.cell_size:#13x} {signs}"
    used = {figure.kind(cell) for cell in range(len(figure.cells))}
    yield ""
    yield from (f"{MAP_SIGNS[kind]:>13} {kind}" for kind in figure.kinds if kind in used)
