"""Two disks from the first byte to the last, each in a row, and a row that says where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message
from textual.widget import Widget

from qcow2inspect.tui.theme import Ground
from qcow2inspect.tui.widgets.bytespane import merged
from qcow2inspect.tui.widgets.paint import strip

if TYPE_CHECKING:
    from textual import events
    from textual.strip import Strip

    from qcow2inspect.tui.comparison import Comparison
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["DiffMap"]

_LEAD = 3


class DiffMap(Widget):
    """Three rows: A, B, and the relation of both; a click goes to the first difference of a cell.

    Args:
        look: colours and glyphs.
        id: Textual id.
    """

    ALLOW_SELECT = False

    class Chosen(Message):
        """A cell was clicked."""

        def __init__(self, offset: int) -> None:
            super().__init__()
            self.offset = offset

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.look = look
        self.comparison: Comparison | None = None
        self.at = 0

    def show(self, comparison: Comparison | None, at: int) -> None:
        """Show what is known, and where the cursor is."""
        self.comparison, self.at = comparison, at
        self.refresh()

    @property
    def cells(self) -> int:
        """Cells of a row."""
        return max(1, self.content_size.width - _LEAD - 1)

    def render_line(self, y: int) -> Strip:
        """One of the rows."""
        width, fill = self.content_size.width, self.look.style("text")
        if y > 2 or self.comparison is None:
            return strip([], width, fill)
        here = self.at * self.cells // max(1, self.comparison.size)
        name = ("A", "B", self.look.glyphs["unlike"])[y]
        line: Line = [(f" {name} ", self.look.style("title"))]
        for cell, (sign, role) in enumerate(self.comparison.strip(y, self.cells)):
            ground = Ground.CURSOR if cell == here else Ground.PLAIN
            text = self.look.glyphs[sign] if sign else self.look.glyphs["empty"]
            line.append((text, self.look.style(role or "faint", ground)))
        return strip(merged(line), width, fill)

    def on_click(self, event: events.Click) -> None:
        """Go there."""
        spot = event.get_content_offset(self)
        if spot is not None and self.comparison is not None and 0 <= spot.x - _LEAD < self.cells:
            event.stop()
            self.post_message(self.Chosen(self.comparison.offset_of(spot.x - _LEAD, self.cells)))
