"""Help: every command with its keys, from the one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from qcow2inspect.tui.commands import COMMANDS, key_shown
from qcow2inspect.tui.dialogs.parts import Dialog
from qcow2inspect.tui.widgets.textpane import TextPane

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
    "log": "in Log",
    "map": "in Map",
    "grid": "in the map",
    "finding-list": "in Findings",
    "hex": "in the bytes",
    "list": "in lists and texts",
    "tree": "in the structure",
    "findings": "in the findings",
    "dialog": "in dialogs",
    "typing": "while a search is typed",
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
    """The text of the help, or what of it has some words; a click on a command does it."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self._words: list[str] = []
        self._at_row: list[Command | None] = []

    def filter(self, text: str) -> None:
        """Show commands that have all these words, in their keys, title or help."""
        self._words = text.lower().split()
        self.recompose_lines()

    @property
    def first(self) -> Command | None:
        """The first command that is shown."""
        _ = self.lines
        return next((command for command in self._at_row if command is not None), None)

    def compose_lines(self, width: int) -> Iterator[Line]:
        """Groups of commands, then the signs."""
        self._at_row = []
        for group in dict.fromkeys(command.group for command in COMMANDS):
            commands = [command for command in COMMANDS if command.group == group and self._fits(command)]
            if commands:
                yield from self._noted(None, [self.rule(group, width)])
            for command in commands:
                yield from self._noted(command, self._command(command, width))
        if not self._words:
            yield self.rule("Signs", width)
            for name, text in _SIGNS:
                yield from self.row(self.look.glyphs[name], text, width, label_role=name, label_cells=20)

    def _noted(self, command: Command | None, lines: Iterable[Line]) -> Iterator[Line]:
        for line in lines:
            self._at_row.append(command)
            yield line

    def _fits(self, command: Command) -> bool:
        keys = " ".join(map(key_shown, command.keys))
        text = f"{keys} {command.title} {command.help} {_WHERE.get(command.scope, '')}".lower()
        return all(word in text for word in self._words)

    def clicked(self, row: int, x: int, *, double: bool) -> None:
        """Do what the command says."""
        del x, double
        command = self._at_row[row] if row < len(self._at_row) else None
        if command is not None and isinstance(self.screen, HelpDialog):
            self.screen.leave(command)

    def _command(self, command: Command, width: int) -> Iterator[Line]:
        keys = " ".join(self.look.glyphs.text(_key(key, self.look)) for key in command.keys)
        where = f" ({_WHERE[command.scope]})" if command.scope in _WHERE else ""
        yield from self.row(keys, command.help + where, width, label_role="key", label_cells=20)


def _key(key: str, look: Look) -> str:
    for name in ("up", "down", "left", "right", "enter"):
        if key == name:
            return look.glyphs[name]
    return key_shown(key)


class HelpDialog(Dialog["Command | None"]):
    """The help; the result is a command that shall be done, or None.

    Args:
        look: colours and glyphs.
    """

    BINDINGS = [
        Binding("down", "page(1)", "down", show=False, priority=True),
        Binding("up", "page(-1)", "up", show=False, priority=True),
        Binding("pagedown", "page(1)", "down", show=False, priority=True),
        Binding("pageup", "page(-1)", "up", show=False, priority=True),
    ]

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look

    def compose(self) -> ComposeResult:
        """The text in a frame."""
        with Vertical(id="dialog", classes="tall"):
            yield Input(placeholder="find a command", id="words")
            yield HelpText(self.look, id="help")

    def on_mount(self) -> None:
        """Say how to leave."""
        self.entitle("Keys and signs")
        self.offer("Enter does the first, a click any   Esc close")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Find."""
        event.stop()
        self.query_one(HelpText).filter(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Do the first command that was found."""
        event.stop()
        self.leave(self.query_one(HelpText).first if event.value.strip() else None)

    def action_page(self, direction: int) -> None:
        """Scroll the text."""
        pane = self.query_one(HelpText)
        pane.action_page_down() if direction > 0 else pane.action_page_up()

    def action_close(self) -> None:
        """Back to the screen."""
        self.leave(None)
