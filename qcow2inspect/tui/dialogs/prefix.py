"""What may follow a key that waits for another one, as a list in the corner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical

from qcow2inspect.tui.dialogs.parts import Dialog
from qcow2inspect.tui.widgets.paint import columns
from qcow2inspect.tui.widgets.textpane import TextPane

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from textual import events
    from textual.app import ComposeResult
    from textual.geometry import Size

    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["Choices", "PrefixDialog"]


class Choices(TextPane, can_focus=False):
    """The keys, what they do, and how many there are."""

    def __init__(self, look: Look, choices: Mapping[str, tuple[str, str]]) -> None:
        super().__init__(look)
        self._choices = choices

    def compose_lines(self, width: int) -> Iterator[Line]:
        """One line for each key."""
        style, glyphs = self.look.style, self.look.glyphs
        for key, (words, count) in self._choices.items():
            left = [(f" {key:<3}", style("key")), (glyphs.text(words), style("text"))]
            yield columns(left, [(f"{glyphs.text(count)} ", style("dim"))], width, style("text"))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One row for each key."""
        del container, viewport, width
        return len(self._choices)


class PrefixDialog(Dialog[str | None]):
    """Waits for one more key; the result is that key, or None.

    Args:
        look: colours and glyphs.
        title: what the key is for.
        choices: key -> what it does, and a count or a place.
        letters: True if any letter may follow, not only the keys of ``choices``.
    """

    def __init__(self, look: Look, title: str, choices: Mapping[str, tuple[str, str]], *, letters: bool) -> None:
        super().__init__()
        self.look = look
        self._title = title
        self._choices = choices
        self._letters = letters

    def compose(self) -> ComposeResult:
        """The list."""
        with Vertical(id="dialog", classes="corner"):
            yield Choices(self.look, self._choices)

    def on_mount(self) -> None:
        """Say what for."""
        dialog = self.query_one("#dialog")
        dialog.border_title = self._title
        dialog.border_subtitle = "Esc close"

    def on_key(self, event: events.Key) -> None:
        """That key."""
        event.stop()
        event.prevent_default()
        key = event.character or ""
        known = key in self._choices or (self._letters and len(key) == 1 and key.isalpha())
        self.leave(key if known else None)

    def on_click(self) -> None:
        """A click elsewhere closes."""
        self.leave(None)
