"""A few rows about the place under the cursor of Compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.tui.widgets.textpane import TextPane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.tui.compared import Row
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["OriginPane"]


class OriginPane(TextPane, can_focus=False):
    """What is known about the place under the cursor, and where both sides have it."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self._rows: list[Row] = []

    def show(self, *rows: Row) -> None:
        """Show rows."""
        if list(rows) != self._rows:
            self._rows = list(rows)
            self.recompose_lines()

    def compose_lines(self, width: int) -> Iterator[Line]:
        """A line or more for each row."""
        for label, text, role, sign in self._rows:
            glyph = self.look.glyphs[sign] if sign else ""
            yield from self.row(label, text, width, role, sign=glyph, label_role="title", label_cells=2)
