"""What runs and what was done, and the journal of what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.cells import cell_len, set_cell_size
from textual.containers import Container

from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.dialogs.parts import duration
from qcow2inspect.tui.exporting import ExportJob
from qcow2inspect.tui.jobs import JobState
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.screens.base import BaseScreen
from qcow2inspect.tui.widgets.paint import wrapped
from qcow2inspect.tui.widgets.textpane import TextPane
from qcow2inspect.tui.widgets.vscroll import VScroll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.app import ComposeResult
    from textual.message import Message

    from qcow2inspect.tui.app import InspectApp
    from qcow2inspect.tui.jobs import Job, Log
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["JobList", "JournalPane", "LogScreen"]

_SIGNS = {
    JobState.WAITING: ("more", "dim"),
    JobState.RUNNING: ("points", "note"),
    JobState.DONE: ("yes", "good"),
    JobState.CANCELLED: ("no", "warn"),
    JobState.FAILED: ("no", "bad"),
}
_WORDS, _TIME = 10, 8
_ENTRY_SIGNS = {"good": "yes", "warn": "warning", "bad": "no", "note": "dot"}


class JobList(VScroll):
    """All tasks, the newest first."""

    def __init__(self, log: Log, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self.log_of = log

    @property
    def rows(self) -> list[Job]:
        """The newest first."""
        return self.log_of.jobs[::-1]

    @property
    def current(self) -> Job | None:
        """The task under the cursor."""
        rows = self.rows
        return rows[self.cursor] if self.cursor < len(rows) else None

    @property
    def row_count(self) -> int:
        """One row for each."""
        return max(1, len(self.log_of.jobs))

    def paint(self, row: int, width: int) -> Line:
        """Sign, how it is, how long, what."""
        ground, rows = self.row_ground(row), self.rows
        if row >= len(rows):
            return [(" nothing was done yet", self.look.style("dim", ground))]
        job = rows[row]
        sign, role = _SIGNS[job.state]
        glyphs, style = self.look.glyphs, self.look.style
        room = max(4, width - _WORDS - _TIME - 5)
        title = glyphs.text(job.title)
        if cell_len(title) > room:
            title = set_cell_size(title, room - cell_len(glyphs["more"])) + glyphs["more"]
        return [
            (f" {glyphs[sign]:<2}", style(role, ground)),
            (f"{job.words:<{_WORDS}}", style(role, ground)),
            (f"{duration(job.seconds):>{_TIME - 2}}  ", style("dim", ground)),
            (title, style("text", ground)),
        ]


class JournalPane(TextPane):
    """What happened, the newest first."""

    def __init__(self, log: Log, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self.log_of = log

    def compose_lines(self, width: int) -> Iterator[Line]:
        """A line or more for each entry."""
        style, glyphs = self.look.style, self.look.glyphs
        for entry in reversed(self.log_of.entries):
            lead = f" {entry.at:%H:%M:%S}Z  "
            sign = f"{glyphs[_ENTRY_SIGNS.get(entry.role, 'dot')]} "
            room = max(8, width - cell_len(lead) - cell_len(sign))
            for number, part in enumerate(wrapped(glyphs.text(entry.text), room)):
                first = number == 0
                yield [
                    (lead if first else " " * cell_len(lead), style("dim")),
                    (sign if first else " " * cell_len(sign), style("dim" if entry.role == "note" else entry.role)),
                    (part, style("text")),
                ]


class LogScreen(BaseScreen):
    """Tasks beside the journal."""

    BINDINGS = bindings("log")
    SCOPE = "log"
    AUTO_FOCUS = "#jobs"

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__(session, look)
        self.jobs = JobList(session.log, look, id="jobs")
        self.journal = JournalPane(session.log, look, id="journal")

    def compose_body(self) -> ComposeResult:
        """Two panes."""
        with Container(id="halves"):
            yield self.jobs
            yield self.journal

    def on_mount(self) -> None:
        """Show all."""
        super().on_mount()
        self.set_interval(1.0, self._renew)
        self._renew()

    def on_screen_resume(self) -> None:
        """Much may have happened."""
        self._renew()

    @property
    def here(self) -> Location:
        """The log is one place."""
        return Location(mode="log")

    def news(self, message: Message) -> None:
        """Something happened."""
        super().news(message)
        self._renew()

    def _renew(self) -> None:
        log = self.session.log
        self.jobs.border_title, self.journal.border_title = self.framed("Tasks"), self.framed("Journal, UTC")
        self.crumbs.show([("log", "")], self.session.knowledge.findings)
        over = sum(job.state.is_over for job in log.jobs)
        waiting = sum(job.state is JobState.WAITING for job in log.jobs)
        facts = [f"{len(log.jobs) - over - waiting} running", *([f"{waiting} waiting"] if waiting else [])]
        self.status.show_facts([*facts, f"{over} over", f"{len(log.entries)} entries"])
        self.jobs.refresh()
        self.journal.recompose_lines()

    # -- actions ----------------------------------------------------------------------------------------------

    def action_follow(self) -> None:
        """How far the export is."""
        job = self.jobs.current
        if isinstance(job, ExportJob):
            cast("InspectApp", self.app).show_job(job)
        elif job is not None:
            self.status.say(job.outcome or f"{job.title}: {job.words}", "dim")

    def action_stop_task(self) -> None:
        """Stop the task; an export asks what becomes of its file."""
        job = self.jobs.current
        if job is None or job.state.is_over:
            self.status.say("this task is over", "dim")
        elif isinstance(job, ExportJob) and job.state is JobState.RUNNING:
            cast("InspectApp", self.app).show_job(job, asking=True)
        else:
            cast("InspectApp", self.app).stop_job(job)
        self._renew()

    def action_pause_task(self) -> None:
        """Let it wait, or go on."""
        job = self.jobs.current
        if job is not None and job.state is JobState.RUNNING:
            job.progress.pause(not job.progress.paused)
            self._renew()

    def action_next_pane(self) -> None:
        """To the other pane."""
        (self.journal if self.focused is self.jobs else self.jobs).focus()

    def on_resize(self) -> None:
        """Names fit the frames."""
        self._renew()
