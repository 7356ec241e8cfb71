"""Help: every command with its keys, from the one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.binding import Binding
from textual.containers import Vertical

from qcow2inspect.tui.commands import COMMANDS, key_shown
from qcow2inspect.tui.dialogs.parts import Dialog
from qcow2inspect.tui.widgets.textpane import TextPane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.app import ComposeResult

    from qcow2inspect.tui.commands import Command
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["HelpDialog", "HelpText"]

_WHERE = {
    "overview": "in Overview",
    "explore": "in Explore",
    "guest": "in Guest",
    "compare": "in Compare",
    "map": "in Map",
    "grid": "in the map",
    "finding-list": "in Findings",
    "hex": "in the bytes",
    "list": "in lists and texts",
    "tree": "in the structure",
    "findings": "in the findings",
}
_SIGNS = (
    ("normal", "data stored as it is"),
    ("compressed", "compressed cluster"),
    ("encrypted", "encrypted"),
    ("zero-plain", "reads as zeros, nothing stored"),
    ("zero-alloc", "reads as zeros, a cluster is reserved"),
    ("unallocated", "not stored in this image"),
    ("shared", "used more than once, for example by a snapshot"),
    ("invalid", "contradicts the specification"),
)


class HelpText(TextPane):
    """The text of the help."""

    def compose_lines(self, width: int) -> Iterator[Line]:
        """Groups of commands, then the signs."""
        for group in dict.fromkeys(command.group for command in COMMANDS):
            yield self.rule(group, width)
            for command in COMMANDS:
                if command.group == group:
                    yield from self._command(command, width)
        yield self.rule("Signs", width)
        for name, text in _SIGNS:
            yield from self.row(self.look.glyphs[name], text, width, label_role=name, label_cells=20)

    def _command(self, command: Command, width: int) -> Iterator[Line]:
        keys = " ".join(self.look.glyphs.text(_key(key, self.look)) for key in command.keys)
        where = f" ({_WHERE[command.scope]})" if command.scope in _WHERE else ""
        yield from self.row(keys, command.help + where, width, label_role="key", label_cells=20)


def _key(key: str, look: Look) -> str:
    for name in ("up", "down", "left", "right", "enter"):
        if key == name:
            return look.glyphs[name]
    return key_shown(key)


class HelpDialog(Dialog[None]):
    """The help.

    Args:
        look: colours and glyphs.
    """

    BINDINGS = [Binding("escape,q,question_mark,f1,enter", "close", "close", show=False)]

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look

    def compose(self) -> ComposeResult:
        """The text in a frame."""
        with Vertical(id="dialog", classes="tall"):
            yield HelpText(self.look, id="help")

    def on_mount(self) -> None:
        """Say how to leave."""
        self.query_one("#dialog").border_title = "Keys and signs"
        self.query_one("#dialog").border_subtitle = "arrows scroll   Esc close"

    def action_close(self) -> None:
        """Back to the screen."""
        self.leave(None)
