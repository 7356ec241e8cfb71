"""Report: where to, in which format, which parts of it; what it will look like; then it is written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from textual import work
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input

from qcow2inspect.dossier.wishes import SECTIONS
from qcow2inspect.reports import formats
from qcow2inspect.tui.dialogs.order import OVERWRITE, default_target, in_keys
from qcow2inspect.tui.dialogs.parts import Cycle, Dialog, Notes, Toggle
from qcow2inspect.tui.reporting import Reporter, ReportOrder
from qcow2inspect.tui.tasks import writing
from qcow2inspect.tui.tasks.running import TaskProgress
from qcow2inspect.tui.widgets.textpane import TextPane
from qcow2inspect.tui.widgets.vscroll import VScroll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.app import ComposeResult

    from qcow2inspect.reports.base import Format
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.running import TaskFailed
    from qcow2inspect.tui.tasks.writing import ReportPreviewed, ReportWritten
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["PartsList", "Preview", "ReportDialog"]


class PartsList(VScroll):
    """The parts of a report, each of which can be left out.

    Args:
        look: colours and glyphs.
        id: Textual id.
    """

    BINDINGS = [
        Binding("space", "switch", "change", show=False),
        Binding("a", "all", "all or none", show=False),
    ]

    class Changed(Message):
        """Other parts are chosen."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self._keys = list(SECTIONS)
        self.chosen = set(SECTIONS)

    @property
    def row_count(self) -> int:
        """A row for each part."""
        return len(self._keys)

    def paint(self, row: int, width: int) -> Line:
        """Chosen or not, and its name."""
        del width
        key, ground = self._keys[row], self.row_ground(row)
        mark = "x" if key in self.chosen else " "
        return [(f"[{mark}] ", self.look.style("key", ground)), (key, self.look.style("text", ground))]

    def action_switch(self) -> None:
        """With or without the part under the cursor."""
        self.chosen ^= {self._keys[self.cursor]}
        self._tell()

    def action_all(self) -> None:
        """All of them or, where that is so already, none."""
        self.chosen = set() if len(self.chosen) == len(self._keys) else set(self._keys)
        self._tell()

    def _tell(self) -> None:
        self.refresh()
        self.post_message(self.Changed())

    def clicked(self, row: int, x: int, *, double: bool) -> None:
        """A click changes a part."""
        del x, double
        self.set_cursor(row)
        self.action_switch()


class Preview(TextPane):
    """The first lines of the report."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self._texts: list[str] = []

    def show(self, texts: list[str]) -> None:
        """Show these lines."""
        self._texts = texts
        self.recompose_lines()

    def compose_lines(self, width: int) -> Iterator[Line]:
        """Lines as they are; what is too long for the pane goes on below."""
        style = self.look.style("text")
        for text in self._texts:
            shown = self.look.glyphs.text(text)
            for start in range(0, max(1, len(shown)), width):
                yield [(shown[start : start + width], style)]


class ReportDialog(Dialog[str | None]):
    """Writes the report; the result says what was written, or is None.

    Args:
        session: the image.
        look: colours and glyphs.
    """

    BINDINGS = [Binding("enter", "start", "write", show=False)]

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__()
        self.session = session
        self.look = look
        self.notes = Notes(look, id="outcome")
        self.reporter = Reporter(session)
        self._formats: list[Format] = [item for item in formats().values() if item.suffix]
        self._progress: TaskProgress | None = None
        self._wanted: ReportOrder | None = None
        self._busy = False
        self._result: str | None = None

    def compose(self) -> ComposeResult:
        """Target, choices, preview."""
        with Vertical(id="dialog", classes="broad"):
            yield Input(self._default(), id="target", select_on_focus=False)
            yield Toggle(self.look, OVERWRITE, value=False, id="force")
            yield Toggle(self.look, "hide paths and names", value=False, id="redact")
            titles = [f"{item.name}: {item.title}" for item in self._formats]
            yield Cycle(self.look, "format", titles, self._text, id="format")
            yield Input(placeholder="a note of yours, for the report", id="note", select_on_focus=False)
            with Horizontal(id="report"):
                yield PartsList(self.look, id="parts")
                yield Preview(self.look, id="preview")
            yield self.notes

    def on_mount(self) -> None:
        """Say what will be in it."""
        self.entitle("Write the report")
        self.offer("Enter write   Tab next   Space change   Esc close")
        self.query_one("#parts").border_title = "Parts"
        self._renew()

    # -- choices ----------------------------------------------------------------------------------------------

    @property
    def _text(self) -> int:
        return next(number for number, item in enumerate(self._formats) if item.name == "text")

    def _default(self, suffix: str = ".txt") -> str:
        case = self.session.case
        path = default_target(self.session.image.name, f".report{suffix}")
        return os.path.join(case.folder, "reports", os.path.basename(path)) if case is not None else path

    @property
    def order(self) -> ReportOrder:
        """What the user asks for."""
        return ReportOrder(
            os.path.expanduser(self.query_one("#target", Input).value),
            self._formats[self.query_one(Cycle).index].name,
            frozenset(self.query_one(PartsList).chosen),
            redact=self.query_one("#redact", Toggle).value,
            force=self.query_one("#force", Toggle).value,
            note=self.query_one("#note", Input).value.strip(),
        )

    def on_cycle_changed(self, event: Cycle.Changed) -> None:
        """Another format: another ending, unless the user chose the name."""
        event.stop()
        target = self.query_one("#target", Input)
        if target.value in (self._default(item.suffix) for item in self._formats):
            target.value = self._default(self._formats[self.query_one(Cycle).index].suffix)
        self._renew()

    def on_toggle_changed(self, event: Toggle.Changed) -> None:
        """Names are hidden, or not."""
        event.stop()
        if event.toggle.id == "redact":
            self._renew()

    def on_parts_list_changed(self, event: PartsList.Changed) -> None:
        """Other parts."""
        event.stop()
        self._renew()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the target writes, in the note shows what it looks like."""
        event.stop()
        if event.input.id == "note":
            self._renew()
        else:
            self.action_start()

    # -- preview and writing ----------------------------------------------------------------------------------

    def _renew(self) -> None:
        if not self.order.sections:
            self.query_one("#preview").border_title = "Preview: nothing is chosen"
            self.query_one(Preview).show([])
            return
        self.query_one("#preview").border_title = "Preview: being made"
        self._wanted = self.order
        self._preview(self._wanted, self._fresh_progress())

    def _fresh_progress(self) -> TaskProgress:
        """Whatever was asked for before is not wanted any more."""
        if self._progress is not None:
            self._progress.stop()
        self._progress = TaskProgress("report", self.post_message)
        return self._progress

    @work(thread=True, exclusive=True, group="report", exit_on_error=False)
    def _preview(self, order: ReportOrder, progress: TaskProgress) -> None:
        writing.preview_report(self.reporter, order, progress, self.post_message)

    def on_report_previewed(self, message: ReportPreviewed) -> None:
        """Show the first lines."""
        message.stop()
        if message.order == self._wanted:
            self.query_one("#preview").border_title = f"Preview: {message.count:,} lines"
            self.query_one(Preview).show(message.lines)

    def on_progressed(self, message: Message) -> None:
        """The tables are being read for the report; the title says that it is being made."""
        message.stop()

    def action_start(self) -> None:
        """Write."""
        order = self.order
        if not order.sections:
            self.notes.show(("no", "choose at least one part", "bad"))
        elif order.target and not self._busy:
            self._busy = True
            self.notes.show(("more", "writing", "dim"))
            self._write(order, self._fresh_progress())

    @work(thread=True, exclusive=True, group="report", exit_on_error=False)
    def _write(self, order: ReportOrder, progress: TaskProgress) -> None:
        writing.write_report(self.reporter, order, progress, self.post_message)

    def on_report_written(self, message: ReportWritten) -> None:
        """Say what was written, and how to do it without the interface."""
        message.stop()
        self._busy = False
        self._result = f"report written to {message.path}"
        again = self.reporter.command(self.order)
        self.notes.show(("yes", self._result, "good"), ("", f"the same: {again}", "dim"))
        self.offer("Esc close")

    def on_task_failed(self, message: TaskFailed) -> None:
        """Say why not."""
        message.stop()
        if message.error is not None:
            self._busy = False
            self.notes.show(("no", in_keys(self.session, str(message.error)), "bad"))

    def action_close(self) -> None:
        """Back to the screen."""
        if self._progress is not None and not self._busy:
            self._progress.stop()
        self.leave(self._result)
