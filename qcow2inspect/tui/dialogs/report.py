"""Report: where to, then it is written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from textual import work
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from qcow2inspect.tui import tasks
from qcow2inspect.tui.dialogs.export import default_target
from qcow2inspect.tui.dialogs.parts import Dialog, Notes, Toggle

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from qcow2inspect.tui.messages import ReportWritten, TaskFailed
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.theme import Look

__all__ = ["ReportDialog"]


class ReportDialog(Dialog[str | None]):
    """Writes the report; the result says what was written, or is None.

    Args:
        session: the image.
        look: colours and glyphs.
    """

    BINDINGS = [Binding("escape", "close", "close", show=False), Binding("enter", "start", "write", show=False)]

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__()
        self.session = session
        self.look = look
        self.notes = Notes(look)
        self._busy = False
        self._result: str | None = None

    def compose(self) -> ComposeResult:
        """Target and choice."""
        with Vertical(id="dialog"):
            yield Input(default_target(self.session.image.name, ".report.txt"), id="target", select_on_focus=False)
            yield Toggle(self.look, "overwrite an existing file", value=False, id="force")
            yield self.notes

    def on_mount(self) -> None:
        """Say what will be in it."""
        dialog = self.query_one("#dialog")
        dialog.border_title = "Write the report"
        dialog.border_subtitle = "Enter write   Tab next   Space change   Esc close"
        if not self.session.knowledge.surveyed:
            self.notes.show(
                ("warning", "the tables are still being read: the report will know the header only", "warn")
            )

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the target writes."""
        event.stop()
        self.action_start()

    def action_start(self) -> None:
        """Write."""
        target = os.path.expanduser(self.query_one(Input).value)
        if target and not self._busy:
            self._busy = True
            self.notes.show(("more", "writing", "dim"))
            self._write(target, self.query_one(Toggle).value)

    @work(thread=True, exclusive=True, group="report", exit_on_error=False)
    def _write(self, target: str, force: bool) -> None:
        session = self.session
        tasks.report(session.image, session.knowledge, target, force=force, post=self.post_message)

    def on_report_written(self, message: ReportWritten) -> None:
        """Say what was written."""
        message.stop()
        self._busy = False
        self._result = f"report written to {message.path}"
        self.notes.show(("yes", self._result, "good"))
        self.query_one("#dialog").border_subtitle = "Esc close"

    def on_task_failed(self, message: TaskFailed) -> None:
        """Say why not."""
        message.stop()
        self._busy = False
        self.notes.show(("no", str(message.error) if message.error else "stopped", "bad"))

    def action_close(self) -> None:
        """Back to the screen."""
        self.leave(self._result)
