"""What may follow a key that waits for another one, as a list in the corner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.tui.widgets.paint import columns
from qcow2inspect.tui.widgets.textpane import TextPane

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from textual.geometry import Size

    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["WhichKey"]

_WIDTH = 46


class WhichKey(TextPane, can_focus=False):
    """The keys that may follow, what they do, and how many of it there are; hidden until it is needed.

    Args:
        look: colours and glyphs.
    """

    def __init__(self, look: Look) -> None:
        super().__init__(look, id="which")
        self._choices: Mapping[str, tuple[str, str]] = {}
        self.display = False

    def show(self, title: str, choices: Mapping[str, tuple[str, str]]) -> None:
        """Show keys: what each does, and a count or a place."""
        self._choices = choices
        self.border_title = title
        self.border_subtitle = "Esc close"
        self.styles.offset = (max(0, self.screen.size.width - _WIDTH), 0)
        self.display = True
        self.recompose_lines()
        self.refresh(layout=True)

    def compose_lines(self, width: int) -> Iterator[Line]:
        """One line for each key."""
        style, glyphs = self.look.style, self.look.glyphs
        for key, (words, count) in self._choices.items():
            left = [(f" {key:<3}", style("key")), (glyphs.text(words), style("text"))]
            yield columns(left, [(f"{glyphs.text(count)} ", style("dim"))], width, style("text"))
        if not self._choices:
            yield [(" a letter", style("dim"))]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One row for each key."""
        del viewport, width
        return max(1, min(len(self._choices), container.height - 4))
