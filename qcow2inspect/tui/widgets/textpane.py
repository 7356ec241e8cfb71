"""A pane of lines that are composed for its width: paragraphs, rows with a label, arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

from qcow2inspect.tui.widgets.paint import wrapped
from qcow2inspect.tui.widgets.vscroll import VScroll, thumb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.tui.describe import Step
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["TextPane"]

_LABEL = 8


class TextPane(VScroll):
    """A pane of composed lines, which keys scroll."""

    SHOWS_CURSOR = False

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self._lines: list[Line] | None = None
        self._lines_width = 0

    def compose_lines(self, width: int) -> Iterator[Line]:
        """The lines for a width."""
        del width
        return iter(())

    @property
    def lines(self) -> list[Line]:
        """The lines, composed when the text or the width has changed."""
        if self._lines is None or self._lines_width != self.width:
            self._lines_width = self.width
            self._lines = list(self.compose_lines(max(10, self.width)))
        return self._lines

    @property
    def row_count(self) -> int:
        """Number of lines."""
        return len(self.lines)

    def paint(self, row: int, width: int) -> Line:
        """One line."""
        del width
        return self.lines[row]

    def recompose_lines(self) -> None:
        """What is shown has changed."""
        before, top = self._lines, self.top
        self._lines, self.top = None, 0
        if (
            before is None
            or top
            or not self.is_mounted
            or self._thumb_of(len(before)) != self._thumb_of(self.row_count)
        ):
            self.refresh()
            return
        for row in range(min(self.height, max(len(before), len(self.lines)))):
            if before[row : row + 1] != self.lines[row : row + 1]:
                self.refresh_rows(row, row)

    def recolour(self) -> None:
        """Compose the lines again, and stay where they are read."""
        self._lines = None
        self.refresh()

    def _thumb_of(self, rows: int) -> range:
        return thumb(rows, 0, self.height)

    # -- pieces of lines --------------------------------------------------------------------------------------

    def row(
        self,
        label: str,
        text: str,
        width: int,
        role: str = "text",
        *,
        sign: str = "",
        label_role: str = "dim",
        label_cells: int = _LABEL,
    ) -> Iterator[Line]:
        """A label and a text that goes on below itself."""
        glyphs = self.look.glyphs
        lead = f"{sign} " if sign else ""
        indent = min(label_cells + 2, width // 2)
        texts = wrapped(glyphs.text(text), max(4, width - indent - cell_len(lead)))
        for number, part in enumerate(texts):
            first = number == 0
            yield [
                (f" {label:<{indent - 1}}" if first else " " * indent, self.look.style(label_role)),
                (lead if first else " " * cell_len(lead), self.look.style(role)),
                (part, self.look.style(role)),
            ]

    def paragraph(self, text: str, width: int, role: str = "text") -> Iterator[Line]:
        """A text without label."""
        for part in wrapped(self.look.glyphs.text(text), width - 3):
            yield [(f"   {part}", self.look.style(role))]

    def rule(self, name: str, width: int) -> Line:
        """A thin line with a name."""
        line = self.look.glyphs["empty"]
        return [
            (f" {name} ", self.look.style("title")),
            (line * max(0, width - len(name) - 3), self.look.style("faint")),
        ]

    def steps(self, steps: list[Step], width: int) -> Iterator[Line]:
        """Arithmetic in three columns, or on two lines each where there is no room."""
        glyphs, style = self.look.glyphs, self.look.style
        names = max((len(step.name) for step in steps), default=0)
        hows = max((len(glyphs.text(step.how)) for step in steps), default=0)
        wide = names + hows + 24 <= width
        for step in steps:
            how = glyphs.text(step.how)
            name = (f" {step.name:<{names}}  ", style("dim"))
            value = (glyphs.text(step.value), style("text"))
            if wide:
                yield [name, (f"{how:<{hows}}", style("note")), (" = ", style("faint")), value]
            else:
                yield [name, value]
                yield [(" " * (names + 3), style("faint")), (f"= {how}", style("note"))]
