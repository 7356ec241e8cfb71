"""Search: what to look for; the search itself goes on behind the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from qcow2inspect.tui.dialogs.parts import Dialog, Notes
from qcow2inspect.tui.pattern import Pattern, parse_pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult

    from qcow2inspect.tui.theme import Look

__all__ = ["SearchDialog"]

_HELP = (
    'text   "text"   u16:text   u16be:text   hex:51 46 ?? fb   re:[A-Z]{3}[0-9]',
    "be64:0xa80000..0xaaffff   le32:2048   ->  who points here   -> c138",
)


class SearchDialog(Dialog[Pattern | None]):
    """Asks what to look for; the result is the pattern, or None.

    Args:
        look: colours and glyphs.
        where: what is searched, in words.
        last: the pattern of the last search.
        parse: makes a pattern of what is typed, or raises ValueError.
    """

    BINDINGS = [Binding("escape", "close", "close", show=False)]

    def __init__(
        self, look: Look, where: str, last: Pattern | None, parse: Callable[[str], Pattern] = parse_pattern
    ) -> None:
        super().__init__()
        self._parse = parse
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
            self.notes.show(*(("", line, "dim") for line in _HELP))
            return None
        try:
            pattern = self._parse(text)
        except ValueError as error:
            self.notes.show(("no", str(error), "warn"))
            return None
        if text.startswith(("->", "re:")) or pattern.shown.endswith("bytes"):
            self.notes.show(("", pattern.shown, "text"))
            return pattern
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
