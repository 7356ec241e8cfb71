"""Which two disks to compare: states of this image, or another file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from textual import work
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.image.assumed import NOTHING_ASSUMED
from qcow2inspect.tui.comparison import Comparison, Side
from qcow2inspect.tui.dialogs.parts import Cycle, Dialog, Notes
from qcow2inspect.tui.screens.failure import OFFER, can_assume
from qcow2inspect.tui.states import states_of
from qcow2inspect.tui.tasks import comparing

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.comparing import OtherOpened
    from qcow2inspect.tui.tasks.running import TaskFailed
    from qcow2inspect.tui.theme import Look

__all__ = ["CompareDialog"]

_OTHER = "another file"
_HELP = "What the tables tell to be the same is not read. Nothing is written."


class CompareDialog(Dialog[Comparison | None]):
    """Asks for two disks; the result is their comparison, not yet begun, or None.

    Args:
        session: the image.
        look: colours and glyphs.
    """

    BINDINGS = [Binding("enter", "start", "start", show=False)]

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__()
        self.session = session
        self.look = look
        self.notes = Notes(look)
        self._states = [state for state in states_of(session.chain) if state.kind != "vm-state"]
        self._opening = False
        self._failed = ""

    def compose(self) -> ComposeResult:
        """Two choices, a path, what is wrong."""
        titles = [state.title for state in self._states]
        snapshots = [number for number, state in enumerate(self._states) if state.kind == "snapshot"]
        with Vertical(id="dialog"):
            yield Cycle(self.look, "A ", titles, snapshots[-1] if snapshots else 0, id="a")
            yield Cycle(self.look, "B ", [*titles, _OTHER], 0 if len(titles) > 1 else len(titles), id="b")
            yield Input(placeholder="path of another image, or of a raw disk", id="other", select_on_focus=False)
            yield self.notes

    def on_mount(self) -> None:
        """Say how it goes."""
        self.entitle("Compare")
        self._renew()
        (self.query_one(Input) if self._wants_other else self.query_one("#b")).focus()

    @property
    def _wants_other(self) -> bool:
        return self.query_one("#b", Cycle).index == len(self._states)

    @property
    def _path(self) -> str:
        return os.path.expanduser(self.query_one(Input).value)

    def on_cycle_changed(self, event: Cycle.Changed) -> None:
        """Another choice."""
        event.stop()
        self._renew()

    def _renew(self) -> None:
        self._failed = ""
        self.offer("Enter compare   Tab next   Space change   Esc close")
        self.query_one(Input).display = self._wants_other
        self.notes.show(("", _HELP, "dim"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the path starts."""
        event.stop()
        self.action_start()

    def action_start(self) -> None:
        """Open the other file if there is one, then begin."""
        if self._opening:
            return
        if not self._wants_other:
            b = self._side(self.query_one("#b", Cycle).index)
            self._begin(b)
            return
        path = self._path
        if not path:
            self.notes.show(("no", "which file? write its path", "warn"))
            return
        if path == self._failed:
            self._ask_assumptions(path)
        else:
            self._begin_to_open(path)

    def _begin_to_open(self, path: str, assumed: Assumptions | None = None) -> None:
        self._opening = True
        self._open(path, assumed)

    @work(thread=True, exclusive=True, group="open", exit_on_error=False)
    def _open(self, path: str, assumed: Assumptions | None) -> None:
        comparing.open_other(path, self.session.gate, self.post_message, assumed)

    def _ask_assumptions(self, path: str) -> None:
        """The file cannot be opened as it is: ask, and work out, what must be assumed of it."""
        from qcow2inspect.source.file import FileSource
        from qcow2inspect.tui.dialogs.assume import AssumeDialog

        def take(assumed: Assumptions | None) -> None:
            if assumed is not None:
                self._begin_to_open(path, assumed)

        self.app.push_screen(AssumeDialog(self.look, lambda: FileSource(path), NOTHING_ASSUMED), take)

    def on_other_opened(self, message: OtherOpened) -> None:
        """The other file is there."""
        message.stop()
        self._opening = False
        self.session.take_other(message.chain)
        try:
            side = Side.other(message.chain)
        except Qcow2InspectError as error:
            self.notes.show(("no", str(error), "bad"))
            return
        self._begin(side)

    def on_task_failed(self, message: TaskFailed) -> None:
        """It cannot be opened."""
        message.stop()
        self._opening = False
        error = message.error
        notes = [("no", str(error), "bad")]
        if isinstance(error, Qcow2InspectError) and can_assume(error):
            self._failed = self._path
            notes.append(("points", f"Enter {OFFER}", "key"))
            self.offer("Enter assume   Tab next   Space change   Esc close")
        self.notes.show(*notes)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Another file: nothing is known about it."""
        event.stop()
        if self._failed:
            self._renew()

    def _side(self, index: int) -> Side | None:
        state = self._states[index]
        try:
            return Side(self.session.chain, state, state.view(self.session.chain))
        except (Qcow2InspectError, ValueError) as error:
            self.notes.show(("no", f"{state.title}: {error}", "bad"))
            return None

    def _begin(self, b: Side | None) -> None:
        a = self._side(self.query_one("#a", Cycle).index)
        if a is None or b is None:
            return
        if b.is_ours and a.state == b.state:
            self.notes.show(("no", "both are the same state: choose two", "warn"))
            return
        self.leave(Comparison(a, b))

    def action_close(self) -> None:
        """Compare nothing."""
        self.leave(None)
