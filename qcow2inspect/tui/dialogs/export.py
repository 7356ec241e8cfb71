"""Export: where to, the checks before the first byte, then how far it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from textual import work
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from qcow2inspect.tui import tasks
from qcow2inspect.tui.dialogs.parts import Dialog, Gauge, Notes, Toggle, duration
from qcow2inspect.units import exact_size, human_size

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from qcow2inspect.tui.messages import Exported, Preflighted, Progressed, TaskFailed
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.theme import Look

__all__ = ["ExportDialog", "default_target"]


def default_target(image: str, suffix: str) -> str:
    """A path for what is made of ``image``: beside it, or in the working directory if nothing can be written there."""
    folder, name = os.path.split(os.path.abspath(image))
    stem = name.removesuffix(".qcow2").removesuffix(".img") or name
    return os.path.join(folder if os.access(folder, os.W_OK) else os.getcwd(), stem + suffix)


class ExportDialog(Dialog[str | None]):
    """Writes the raw disk; the result says what was written, or is None.

    Args:
        session: the image.
        look: colours and glyphs.
    """

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

    def compose(self) -> ComposeResult:
        """Target, choices, checks, progress."""
        with Vertical(id="dialog"):
            yield Input(default_target(self.session.image.name, ".raw"), id="target", select_on_focus=False)
            yield Toggle(self.look, "sparse: zeros stay holes in the file", value=True, id="sparse")
            yield Toggle(self.look, "overwrite an existing file", value=False, id="force")
            yield self.checks
            yield self.gauge
            yield self.outcome

    def on_mount(self) -> None:
        """Check the default target."""
        dialog = self.query_one("#dialog")
        size = human_size(self.session.image.header.size)
        dialog.border_title = f"Export the raw disk of the active state, {size}"
        self.gauge.display = False
        self._renew()

    # -- before -----------------------------------------------------------------------------------------------

    @property
    def target(self) -> str:
        """Where to write."""
        return os.path.expanduser(self.query_one(Input).value)

    def _chosen(self, name: str) -> bool:
        return self.query_one(f"#{name}", Toggle).value

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
            self._preflight(self.target, self._chosen("force"), self._chosen("sparse"), self._checking)

    @work(thread=True, exclusive=True, group="preflight", exit_on_error=False)
    def _preflight(self, target: str, force: bool, sparse: bool, progress: tasks.TaskProgress) -> None:
        tasks.preflight(
            self.session.image, target, force=force, sparse=sparse, progress=progress, post=self.post_message
        )

    def on_preflighted(self, message: Preflighted) -> None:
        """Show the checks."""
        message.stop()
        if message.target != self.target or self._progress is not None:
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
        for widget in self.query("Input, Toggle"):
            widget.disabled = True
        self.gauge.display = True
        self._keys("c or Esc cancel")
        self._export(self.target, self._chosen("force"), self._chosen("sparse"), self._progress)

    @work(thread=True, exclusive=True, group="export", exit_on_error=False)
    def _export(self, target: str, force: bool, sparse: bool, progress: tasks.TaskProgress) -> None:
        tasks.export(self.session.image, target, force=force, sparse=sparse, progress=progress, post=self.post_message)

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
        self._result = f"raw disk written to {words}"
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
