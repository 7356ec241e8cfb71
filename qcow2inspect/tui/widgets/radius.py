"""How far the damage reaches: the disk from its first byte to its last in one row, and the sums in another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widget import Widget

from qcow2inspect.tui.widgets.bytespane import merged
from qcow2inspect.tui.widgets.paint import line_width, strip
from qcow2inspect.units import bytes_of, counted, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from textual.strip import Strip

    from qcow2inspect.export.damage import Damage
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line
    from qcow2inspect.units import GuestRange

__all__ = ["Radius", "sums"]

_KINDS = (("lost", "no", "invalid"), ("suspect", "leaked", "warn"), ("elsewhere", "unknown", "dim"))
"""Attribute of :class:`Damage`, sign and role: what a cell shows is the first of them that it holds."""


def sums(damage: Damage) -> Iterator[tuple[str, int]]:
    """What became of the bytes of the disk: a word, and how many bytes."""
    yield "lost", damage.lost_bytes
    yield "suspect", damage.suspect_bytes
    yield "elsewhere", bytes_of(damage.elsewhere)
    yield "intact", damage.intact_bytes


class Radius(Widget):
    """Two rows: the sums of the blast radius, and where on the disk it lies.

    Args:
        look: colours and glyphs.
        id: Textual id.
    """

    ALLOW_SELECT = False

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.look = look
        self._damage: Damage | None = None
        self._words = ""

    def show(self, damage: Damage | None, words: str = "") -> None:
        """Show how far it reaches, or in words why that is not known."""
        self._damage, self._words = damage, words
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One of the rows."""
        width, fill = self.content_size.width, self.look.style("text")
        if self._damage is None:
            line: Line = [(f" {self.look.glyphs.text(self._words)}", self.look.style("dim"))] if not y else []
        else:
            line = self._sums(self._damage, width) if not y else self._bar(self._damage, width)
        return strip(merged(line), width, fill)

    def _sums(self, damage: Damage, width: int) -> Line:
        glyphs, style = self.look.glyphs, self.look.style
        if not damage.marked and not damage.elsewhere:
            return [(f" {glyphs['yes']} by the tables, no byte of the disk is lost or doubtful", style("good"))]
        signs = {word: (glyphs[sign], role) for word, sign, role in _KINDS} | {"intact": (glyphs["bar"], "good")}
        line: Line = []
        for word, size in sums(damage):
            if size:
                sign, role = signs[word]
                line += [
                    (f" {sign} ", style(role)),
                    (f"{word} ", style("dim")),
                    (f"{human_size(size)} ", style("text")),
                ]
        marked = f" {counted(len(damage.marked), 'range')}, as marked by an export"
        short = f" {counted(len(damage.marked), 'range')}"
        room = width - line_width(line)
        return [*line, (marked if len(marked) <= room else short, style("dim"))]

    def _bar(self, damage: Damage, width: int) -> Line:
        cells = max(1, width - 2)
        line: Line = [(" ", self.look.style("text"))]
        rows = [_cells(getattr(damage, word), damage.size, cells) for word, _, _ in _KINDS]
        for cell in range(cells):
            found = next((kind for kind, row in zip(_KINDS, rows, strict=True) if row[cell]), None)
            sign, role = (found[1], found[2]) if found else ("bar", "good")
            line.append((self.look.glyphs[sign], self.look.style(role)))
        return line


def _cells(ranges: Sequence[GuestRange], size: int, cells: int) -> bytearray:
    """1 for each cell of ``cells`` equal parts of the disk that a range touches."""
    row = bytearray(cells)
    for part in ranges:
        first, last = int(part.start) * cells // size, (int(part.end) - 1) * cells // size
        row[first : last + 1] = b"\1" * (last + 1 - first)
    return row
