"""Export: where to, the checks before the first byte, then how far it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from textual import work
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from qcow2inspect.tui import tasks
from qcow2inspect.tui.dialogs.parts import Cycle, Dialog, Gauge, Notes, Toggle, duration
from qcow2inspect.tui.states import states_of
from qcow2inspect.units import exact_size, human_size

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from qcow2inspect.tui.location import GuestState
    from qcow2inspect.tui.messages import Exported, Preflighted, Progressed, TaskFailed
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.theme import Look

__all__ = ["ExportDialog", "default_target"]


def default_target(image: str, suffix: str) -> str:
    """A path for what is made of ``image``: beside it, or in the working directory if nothing can be written there.

    A name that could steer a terminal is not taken over: the path stands in a field that shows it as it is.
    """
    folder, name = os.path.split(os.path.abspath(image))
    stem = name.removesuffix(".qcow2").removesuffix(".img") or name
    stem = "".join(letter if letter.isprintable() else "_" for letter in stem)
    beside = folder.isprintable() and os.access(folder, os.W_OK)
    return os.path.join(folder if beside else os.getcwd(), stem + suffix)


def _what(state: GuestState) -> str:
    """What was exported, in words."""
    return "raw disk" if state.kind == "active" else state.title


class ExportDialog(Dialog[str | None]):
    """Writes the raw bytes of a state of the disk; the result says what was written, or is None.

    Args:
        session: the image.
        look: colours and glyphs.
    """

    AUTO_FOCUS = "#target"
    BINDINGS = [
        Binding("escape", "close", "close or cancel", show=False),
        Binding("c", "cancel", "cancel", show=False),
        Binding("enter", "start", "start", show=False),
    ]

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__()
        self.session = session
        self.look = look
        self.checks = Notes(look, id="checks")
        self.outcome = Notes(look, id="outcome")
        self.gauge = Gauge(look, id="gauge")
        self._progress: tasks.TaskProgress | None = None
        self._checking = tasks.TaskProgress("preflight", self.post_message)
        self._ready = False
        self._result: str | None = None
        self._states = list(states_of(session.chain))

    def compose(self) -> ComposeResult:
        """Target, choices, checks, progress."""
        with Vertical(id="dialog"):
            yield Cycle(self.look, "bytes ", [state.title for state in self._states], self._first(), id="state")
            yield Input(self._default(self._states[self._first()]), id="target", select_on_focus=False)
            yield Toggle(self.look, "sparse: zeros stay holes in the file", value=True, id="sparse")
            yield Toggle(self.look, "overwrite an existing file", value=False, id="force")
            if self._has_gaps:
                text = "zeros where a file of the chain is missing; each range is named"
                yield Toggle(self.look, text, value=False, id="zero")
            if self.session.image.obstacles:
                text = "read on though QEMU refuses the image for its header"
                yield Toggle(self.look, text, value=False, id="lenient")
            yield self.checks
            yield self.gauge
            yield self.outcome

    def on_mount(self) -> None:
        """Check the default target."""
        dialog = self.query_one("#dialog")
        dialog.border_title = "Export raw bytes"
        self.gauge.display = False
        self._renew()

    # -- before -----------------------------------------------------------------------------------------------

    def _first(self) -> int:
        """The state that the user looks at."""
        return self._states.index(self.session.state) if self.session.state in self._states else 0

    @property
    def _has_gaps(self) -> bool:
        return self.session.chain.end is not None

    def _default(self, state: GuestState) -> str:
        suffix = {"snapshot": f".snap{state.index}", "vm-state": f".vmstate{state.index}"}.get(state.kind, "")
        if state.kind == "layer":
            suffix = f".layer{state.index}"
        return default_target(self.session.image.name, f"{suffix}.raw")

    def on_cycle_changed(self, event: Cycle.Changed) -> None:
        """Other bytes: another name, unless the user wrote one."""
        event.stop()
        target = self.query_one(Input)
        if target.value in (self._default(state) for state in self._states):
            target.value = self._default(self.state)
        self._renew()

    @property
    def state(self) -> GuestState:
        """Which bytes shall be written."""
        return self._states[self.query_one(Cycle).index]

    @property
    def order(self) -> tasks.Order:
        """What the user asks for."""
        chosen = {toggle.id: toggle.value for toggle in self.query(Toggle)}
        return tasks.Order(
            self.state,
            self.target,
            sparse=chosen["sparse"],
            force=chosen["force"],
            absent_as_zero=chosen.get("zero", False),
            lenient=chosen.get("lenient", False),
        )

    @property
    def target(self) -> str:
        """Where to write."""
        return os.path.expanduser(self.query_one(Input).value)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Another target: check again."""
        event.stop()
        self._renew()

    def on_toggle_changed(self, event: Toggle.Changed) -> None:
        """Another choice: check again."""
        event.stop()
        self._renew()

    def _renew(self) -> None:
        self._ready = False
        self._keys("Esc close")
        self._checking.stop()
        self._checking = tasks.TaskProgress("preflight", self.post_message)
        self.checks.show(("more", "checking", "dim"))
        self.outcome.show()
        if self.target:
            self._preflight(self.order, self._checking)

    @work(thread=True, exclusive=True, group="preflight", exit_on_error=False)
    def _preflight(self, order: tasks.Order, progress: tasks.TaskProgress) -> None:
        tasks.preflight(self.session.chain, order, progress, self.post_message)

    def on_preflighted(self, message: Preflighted) -> None:
        """Show the checks."""
        message.stop()
        if message.order != self.order or self._progress is not None:
            return
        result = message.result
        notes = [("yes" if check.ok else "no", check.text, "text" if check.ok else "bad") for check in result.checks]
        notes += [("warning", warning, "warn") for warning in result.warnings]
        if result.problem is not None and result.problem.hint:
            notes.append(("points", result.problem.hint, "key"))
        self.checks.show(*notes)
        self._ready = result.problem is None
        self._keys("Enter start   Tab next   Space change   Esc close" if self._ready else "Esc close")

    # -- during -----------------------------------------------------------------------------------------------

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the target starts."""
        event.stop()
        self.action_start()

    def action_start(self) -> None:
        """Write, if all checks are good."""
        if not self._ready or self._progress is not None:
            return
        self._progress = tasks.TaskProgress("export", self.post_message)
        for widget in self.query("Input, Toggle, Cycle"):
            widget.disabled = True
        self.gauge.display = True
        self._keys("c or Esc cancel")
        self._export(self.order, self._progress)

    @work(thread=True, exclusive=True, group="export", exit_on_error=False)
    def _export(self, order: tasks.Order, progress: tasks.TaskProgress) -> None:
        tasks.export(self.session.chain, order, progress, self.post_message)

    def on_progressed(self, message: Progressed) -> None:
        """Move the gauge."""
        message.stop()
        if message.task == "export" and message.total is not None and self._progress is not None:
            self.gauge.show(message.done, message.total, message.seconds)

    def on_exported(self, message: Exported) -> None:
        """Say what was written."""
        message.stop()
        result = message.result
        self.gauge.show(result.written, result.written, result.seconds)
        words = f"{result.path}: {exact_size(result.size)}, {human_size(result.written)} written"
        self._result = f"{_what(self.state)} written to {words}"
        notes = [("warning", warning, "warn") for warning in result.warnings]
        self._ended(("yes", f"{words} in {duration(result.seconds)}", "good"), *notes)

    def on_task_failed(self, message: TaskFailed) -> None:
        """Say why not."""
        message.stop()
        if message.task == "preflight":
            if message.error is not None and self._progress is None:
                self.checks.show(("no", str(message.error), "bad"))
        elif message.error is None:
            self._ended(("no", "cancelled; nothing is left behind", "warn"))
        else:
            self._ended(("no", str(message.error), "bad"))

    def _ended(self, *notes: tuple[str, str, str]) -> None:
        self._progress = None
        self._ready = False
        self.outcome.show(*notes)
        self._keys("Esc close")

    # -- after ------------------------------------------------------------------------------------------------

    def action_cancel(self) -> None:
        """Stop the export."""
        if self._progress is not None:
            self._progress.stop()

    def action_close(self) -> None:
        """Stop the export if it runs, else close."""
        if self._progress is not None:
            self._progress.stop()
            return
        self._checking.stop()
        self.leave(self._result)

    def _keys(self, words: str) -> None:
        self.query_one("#dialog").border_subtitle = words
