"""A list in a dialog of which one row is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from textual.binding import Binding
from textual.message import Message

from qcow2inspect.tui.theme import Ground
from qcow2inspect.tui.widgets.vscroll import VScroll

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.geometry import Size

    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["ChoiceList"]

V = TypeVar("V")

_TALLEST = 24


class ChoiceList(VScroll, Generic[V]):
    """Rows, some of which can be chosen; the cursor walks over those only.

    Args:
        look: colours and glyphs.
        id: Textual id.
    """

    BINDINGS = [Binding("enter", "choose", "choose", show=False)]

    class Chosen(Message):
        """Enter was pressed on a row."""

        def __init__(self, value: object) -> None:
            super().__init__()
            self.value = value

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self._rows: list[tuple[Line, V | None]] = []

    def show(self, rows: Sequence[tuple[Line, V | None]], chosen: V | None = None) -> None:
        """Show rows: what each looks like, and its value (None for one that cannot be chosen)."""
        self._rows = list(rows)
        stops = self._stops
        self.cursor = next((row for row in stops if rows[row][1] == chosen), stops[0] if stops else 0)
        self.refresh(layout=True)
        self.call_after_refresh(self.show_row, self.cursor)

    def choose(self, wanted: V) -> None:
        """Put the cursor on the row of a value."""
        self.cursor = next((row for row in self._stops if self._rows[row][1] == wanted), self.cursor)
        self.refresh()
        self.call_after_refresh(self.show_row, self.cursor)

    @property
    def _stops(self) -> list[int]:
        return [row for row, (_, value) in enumerate(self._rows) if value is not None]

    @property
    def value(self) -> V | None:
        """The value under the cursor."""
        return self._rows[self.cursor][1] if self._rows else None

    @property
    def row_count(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many rows as there are, up to a limit."""
        del container, viewport, width
        return min(_TALLEST, max(1, self.row_count))

    def paint(self, row: int, width: int) -> Line:
        """One row; that of the cursor stands out."""
        del width
        line, ground = self._rows[row][0], self.row_ground(row)
        if ground is Ground.PLAIN:
            return line
        return [(text, self.look.on(style, ground)) for text, style in line]

    def move_to(self, row: int) -> None:
        """To the nearest row that can be chosen, in the direction of the move."""
        stops = self._stops
        ahead = [stop for stop in stops if (stop >= row if row > self.cursor else stop <= row)]
        if ahead:
            super().move_to(ahead[0] if row > self.cursor else ahead[-1])
        elif stops:
            self.show_row(0 if row <= self.cursor else self.row_count - 1)

    def action_choose(self) -> None:
        """Take the row under the cursor."""
        if self.value is not None:
            self.post_message(self.Chosen(self.value))

    def clicked(self, row: int, x: int, *, double: bool) -> None:
        """A click moves the cursor; a double click chooses."""
        del x
        if self._rows[row][1] is not None:
            self.set_cursor(row)
            if double:
                self.action_choose()
