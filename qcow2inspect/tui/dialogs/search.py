"""Search: what to look for; the search itself goes on behind the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from qcow2inspect.tui.dialogs.parts import Dialog, Notes
from qcow2inspect.tui.search import Pattern, parse_pattern

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from qcow2inspect.tui.theme import Look

__all__ = ["SearchDialog"]

_HELP = 'text   "text"   u16:text   hex:51 46 ?? fb   (? is any digit)'


class SearchDialog(Dialog[Pattern | None]):
    """Asks what to look for; the result is the pattern, or None.

    Args:
        look: colours and glyphs.
        where: what is searched, in words.
        last: the pattern of the last search.
    """

    BINDINGS = [Binding("escape", "close", "close", show=False)]

    def __init__(self, look: Look, where: str, last: Pattern | None) -> None:
        super().__init__()
        self.look = look
        self._where = where
        self._last = last
        self.notes = Notes(look)

    def compose(self) -> ComposeResult:
        """Input and preview."""
        with Vertical(id="dialog", classes="low"):
            yield Input(self._last.text if self._last else "", placeholder="text or hex:...", id="pattern")
            yield self.notes

    def on_mount(self) -> None:
        """Say what is searched."""
        dialog = self.query_one("#dialog")
        dialog.border_title = self.look.glyphs.text(f"Search {self._where}")
        dialog.border_subtitle = "Enter search   Esc close"
        self._show(self.query_one(Input).value)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show the bytes."""
        event.stop()
        self._show(event.value)

    def _show(self, text: str) -> Pattern | None:
        if not text:
            self.notes.show(("", _HELP, "dim"))
            return None
        try:
            pattern = parse_pattern(text)
        except ValueError as error:
            self.notes.show(("no", str(error), "warn"))
            return None
        more = " ..." if len(pattern.shown) > 60 else ""
        zero = "; zero bytes alone match: nothing is passed over" if pattern.is_zero else ""
        self.notes.show(("", f"{pattern.size} bytes: {pattern.shown[:60]}{more}{zero}", "text"))
        return pattern

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search."""
        event.stop()
        pattern = self._show(event.value)
        if pattern is not None:
            self.leave(pattern)

    def action_close(self) -> None:
        """Stay."""
        self.leave(None)
