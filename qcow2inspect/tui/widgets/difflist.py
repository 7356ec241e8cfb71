"""What differs between two disks as a list: ranges of bytes, ranges of the mapping, fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from textual.message import Message

from qcow2inspect.image.parts import Part
from qcow2inspect.tui.widgets.vscroll import VScroll
from qcow2inspect.units import GuestOffset, human_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qcow2inspect.image.contrast import FieldPair
    from qcow2inspect.image.view import Extent
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["DiffList"]

_SIZE, _COUNT = 11, 12


class DiffList(VScroll):
    """One row a difference, as many as there are.

    Attributes:
        rows: ranges or fields.
        more: how many were left out.
        empty: what is said where there are none.

    Args:
        look: colours and glyphs.
        id: Textual id.
    """

    class Moved(Message):
        """The cursor is on another row."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self.rows: Sequence[Part] | Sequence[FieldPair] = ()
        self.more = 0
        self.empty = ""

    def show(self, rows: Sequence[Part] | Sequence[FieldPair], more: int, empty: str) -> None:
        """Show rows; the cursor stays where it is, as far as there are rows."""
        self.rows, self.more, self.empty = rows, more, empty
        self.set_cursor(min(self.cursor, max(0, len(rows) - 1)))
        self.refresh()

    @property
    def current(self) -> Part | FieldPair | None:
        """What is under the cursor."""
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    @property
    def _end(self) -> GuestOffset:
        last = self.rows[-1] if self.rows else None
        return last.guest.start if isinstance(last, Part) else GuestOffset(0)

    @property
    def row_count(self) -> int:
        """Rows, with one that says that there are more, or none."""
        return max(1, len(self.rows) + bool(self.more))

    def cursor_moved(self) -> None:
        """Tell it."""
        self.post_message(self.Moved())

    # -- painting ---------------------------------------------------------------------------------------------

    def paint(self, row: int, width: int) -> Line:
        """A range with what both sides say, or a field with both values."""
        ground = self.row_ground(row)
        if row >= len(self.rows):
            text = f" and {self.more:,} more" if self.more else f" {self.empty}"
            return [(self.look.glyphs.text(text), self.look.style("dim", ground))]
        item = self.rows[row]
        if isinstance(item, Part):
            return self._range(item, width, row)
        return self._field(item, width, row)

    def _range(self, part: Part, width: int, row: int) -> Line:
        ground, digits = self.row_ground(row), max(10, len(str(self._end)))
        style, glyphs = self.look.style, self.look.glyphs
        sign = ("unknown", "bad") if part.error is not None else ("unlike", "warn")
        count = "unreadable" if part.error is not None else human_size(part.differing or part.guest.size)
        line: Line = [
            (f" {glyphs[sign[0]]} ", style(sign[1], ground)),
            (f"{part.guest.start!s:<{digits}}", style("text", ground)),
            (f"{human_size(part.guest.size):>{_SIZE}}", style("dim", ground)),
            (f"{count:>{_COUNT}}  ", style("text", ground)),
        ]
        room = max(8, (width - 5 - digits - _SIZE - _COUNT) // 2 - 4)
        for letter, extent in (("A", part.a), ("B", part.b)):
            line += [(f"{letter} ", style("dim", ground)), *self._cell(_words(extent), room, _role(extent), row)]
        return line

    def _field(self, pair: FieldPair, width: int, row: int) -> Line:
        ground = self.row_ground(row)
        sign = (" ", "dim") if pair.is_same else (self.look.glyphs["unlike"], "warn")
        names = min(40, max(16, width // 3))
        room = max(8, (width - names - 8) // 2)
        role = "dim" if pair.is_same else "text"
        return [
            (f" {sign[0]} ", self.look.style(sign[1], ground)),
            *self._cell(pair.name, names, role, row),
            *self._cell(pair.a or "-", room, role, row),
            *self._cell(pair.b or "-", room, role, row),
        ]

    def _cell(self, text: str, width: int, role: str, row: int) -> Line:
        """A text in exactly ``width`` cells and two blanks."""
        text, more = self.look.glyphs.text(text), self.look.glyphs["more"]
        if cell_len(text) > width:
            text = set_cell_size(text, width - cell_len(more)) + more
        return [(f"{set_cell_size(text, width)}  ", self.look.style(role, self.row_ground(row)))]


def _words(extent: Extent | None) -> str:
    if extent is None:
        return "past the end"
    words = extent.kind.word if extent.host is None else f"{extent.kind.word} {extent.host.start}"
    return f"{words}, layer {extent.layer}" if extent.layer else words


def _role(extent: Extent | None) -> str:
    if extent is None:
        return "dim"
    return "bad" if extent.error is not None else "text"
