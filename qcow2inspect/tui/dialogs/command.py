"""The command line: any command by its name, with what it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import work
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui.commands import key_shown
from qcow2inspect.tui.dialogs.parts import Dialog, Notes, common_start
from qcow2inspect.tui.typed import TAKES, Deed, Typed, find, name_of, nearest, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from qcow2inspect.tui.app import InspectApp
    from qcow2inspect.tui.commands import Command
    from qcow2inspect.tui.theme import Look

__all__ = ["CommandDialog", "Planned"]

_SHOWN = 6
_NAME = 16
_EXAMPLES = "goto L1[0].L2[5]   search hex:51 46 ?? fb   theme light   export disk.raw   note odd entry"


class Planned(Message):
    """It is known what a typed command will do.

    Attributes:
        text: the line.
        deed: what it will do; None if nothing.
        problem: why nothing.
    """

    def __init__(self, text: str, deed: Deed | None, problem: str) -> None:
        super().__init__()
        self.text = text
        self.deed = deed
        self.problem = problem


class CommandDialog(Dialog[Deed | None]):
    """Asks for a command; the result is what it will do, or None.

    Args:
        look: colours and glyphs.
        commands: those of the screen in front.
    """

    BINDINGS = [
        Binding("tab", "complete", "complete", show=False, priority=True),
    ]

    def __init__(self, look: Look, commands: Sequence[Command]) -> None:
        super().__init__()
        self.look = look
        self.notes = Notes(look)
        self._commands = commands
        self._planned: Planned | None = None
        self._waits = False

    def compose(self) -> ComposeResult:
        """Input and what it means."""
        with Vertical(id="dialog", classes="low"):
            yield Input(placeholder="a command", id="line")
            yield self.notes

    def on_mount(self) -> None:
        """Say what can be typed."""
        self.entitle("Command")
        self.offer("Enter do it   Tab completes   Esc close")
        self._show("")

    @property
    def deciding(self) -> bool:
        """True while Enter waits to know what the line means."""
        return self._waits

    @property
    def _app(self) -> InspectApp:
        return cast("InspectApp", self.app)

    # -- what is typed ----------------------------------------------------------------------------------------

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say what it means."""
        event.stop()
        self._waits = False
        self._show(event.value)

    def _show(self, text: str) -> None:
        self._planned = None
        typed = split(text, self._commands)
        if typed.command is not None and typed.rest:
            self._show_with(text, typed)
        elif typed.command is not None and (text.endswith(" ") or not find(typed.name, self._commands)):
            self._list([typed.command])
        elif typed.name and not find(typed.name, self._commands):
            self.notes.show(("no", nearest(typed.name, self._commands), "warn"))
        elif typed.name:
            self._list(find(typed.name, self._commands))
        else:
            self.notes.show(("", _EXAMPLES, "dim"), ("", "without what it takes, a command asks for it", "dim"))

    def _show_with(self, text: str, typed: Typed) -> None:
        command = typed.command
        assert command is not None
        takes = TAKES.get(name_of(command))
        if takes is None:
            self.notes.show(("no", f"{name_of(command)} takes nothing more", "warn"))
        else:
            self._plan(text, name_of(command), typed.rest)

    def _list(self, commands: Sequence[Command]) -> None:
        rows = []
        for command in commands[:_SHOWN]:
            takes = TAKES.get(name_of(command))
            what = takes.what if takes is not None else ""
            keys = self.look.glyphs.text(key_shown(command.keys[0]))
            rows.append(("", f"{name_of(command):<{_NAME}}{what:<{_NAME}}{keys:<10}{command.title}", "text"))
        more = len(commands) - _SHOWN
        self.notes.show(*rows, *([("", f"and {more:,} more", "dim")] if more > 0 else []))

    @work(thread=True, exclusive=True, group="plan", exit_on_error=False)
    def _plan(self, text: str, name: str, rest: str) -> None:
        try:
            self.post_message(Planned(text, TAKES[name].plan(self._app, rest), ""))
        except (ValueError, Qcow2InspectError) as error:
            self.post_message(Planned(text, None, str(error)))

    def on_planned(self, message: Planned) -> None:
        """Say it, if it is still what is typed."""
        message.stop()
        if message.text != self.query_one(Input).value:
            return
        self._planned = message
        deed = message.deed
        self.notes.show(("no", message.problem, "warn") if deed is None else ("points", deed.words, "text"))
        if self._waits:
            self._waits = False
            self._do()

    # -- keys -------------------------------------------------------------------------------------------------

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Do it, as soon as it is known what it is."""
        event.stop()
        typed = split(event.value, self._commands)
        command = typed.command
        if command is None:
            self.notes.show(("no", nearest(typed.name, self._commands), "warn")) if typed.name else None
        elif not typed.rest:
            self.leave(Deed(command.title, lambda: self._app.run_command(command)))
        elif self._planned is not None and self._planned.text == event.value:
            self._do()
        elif name_of(command) in TAKES:
            self._waits = True

    def _do(self) -> None:
        if self._planned is not None and self._planned.deed is not None:
            self.leave(self._planned.deed)

    def action_complete(self) -> None:
        """Complete what is typed as far as it is certain, and list how it may go on."""
        field = self.query_one(Input)
        typed = split(field.value, self._commands)
        names = [name_of(command) for command in self._commands]
        if " " not in field.value.lstrip():
            found = [f"{name} " if name in TAKES else name for name in names if name.startswith(field.value.lstrip())]
        else:
            found = self._completed(typed)
        if not found:
            self.notes.show(("", "nothing continues this", "dim"))
            return
        common = common_start(found)
        if common != field.value:
            field.value = common
            field.cursor_position = len(common)
        if len(found) > 1:
            more = f"   and {len(found) - 2 * _SHOWN:,} more" if len(found) > 2 * _SHOWN else ""
            listed = "   ".join(word.removeprefix(f"{typed.name} ").strip() for word in found[: 2 * _SHOWN])
            self.call_later(self.notes.show, ("", listed + more, "dim"))

    def _completed(self, typed: Typed) -> list[str]:
        takes = TAKES.get(name_of(typed.command)) if typed.command is not None else None
        if takes is None:
            return []
        try:
            words = takes.complete(self._app, typed.rest)
        except (ValueError, Qcow2InspectError):
            return []
        return [f"{typed.name} {word}" for word in words if word.startswith(typed.rest)]

    def action_close(self) -> None:
        """Do nothing."""
        self.leave(None)
