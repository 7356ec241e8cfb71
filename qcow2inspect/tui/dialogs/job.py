"""One export: how far each stage is, pause, cancel, what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.binding import Binding
from textual.containers import Vertical
from textual.widget import Widget

from qcow2inspect.tui.dialogs.parts import Notes, TallDialog, duration
from qcow2inspect.tui.jobs import JobChanged, JobState
from qcow2inspect.tui.tasks.running import Progressed
from qcow2inspect.tui.widgets.paint import strip
from qcow2inspect.units import human_size

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.geometry import Size
    from textual.message import Message
    from textual.strip import Strip

    from qcow2inspect.tui.app import InspectApp
    from qcow2inspect.tui.exporting import ExportJob, Stage
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["JobDialog", "Stages"]

_NAME, _NUMBERS = 12, 32
_SHORT = 60
"""Seconds below which tenths are told."""
_ASK = "cancel the export? What is written can be kept, and continued later"


class Stages(Widget):
    """One line for each stage: bar, percent, rate, time left.

    Args:
        job: the export.
        look: colours and glyphs.
    """

    ALLOW_SELECT = False

    def __init__(self, job: ExportJob, look: Look) -> None:
        super().__init__()
        self.job = job
        self.look = look

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One row for each stage, and one for what is being done."""
        del container, viewport, width
        return len(self.job.stages) + 1

    def render_line(self, y: int) -> Strip:
        """One of the rows."""
        width, stages = self.size.width, self.job.stages
        line = self._stage(y, stages[y], width) if y < len(stages) else self._now()
        return strip(line, width, self.look.style("text"))

    def _stage(self, number: int, stage: Stage, width: int) -> Line:
        style, glyphs = self.look.style, self.look.glyphs
        room = max(4, width - _NAME - _NUMBERS)
        part = 1.0 if stage.is_over else stage.done / stage.total if stage.total else 0.0
        full = int(room * part)
        return [
            (f"{number + 1} {stage.name}".ljust(_NAME), style("text")),
            (glyphs["full"] * full, style("good")),
            (glyphs["empty"] * (room - full), style("faint")),
            (self._numbers(stage, part), style("text" if stage.total else "dim")),
        ]

    def _numbers(self, stage: Stage, part: float) -> str:
        """Percent, rate, time left; the whole time once it is over."""
        rate = stage.done / stage.seconds if stage.seconds > 0 else 0.0
        speed = f"{human_size(int(rate))}/s" if rate >= 1 else ""
        time = ""
        if stage.total and stage.is_over:
            time = f"in {stage.seconds:.1f} s" if stage.seconds < _SHORT else f"in {duration(stage.seconds)}"
        elif stage.total and rate and not self.job.state.is_over:
            time = f"{duration((stage.total - stage.done) / rate)} left"
        return f" {int(100 * part):3}% {speed:>13} {time:>12}"  # never 100 % before the end

    def _now(self) -> Line:
        job = self.job
        is_going = job.state is JobState.RUNNING and not job.progress.paused
        text = self._amount + job.progress.what if is_going else job.words
        return [(" " * _NAME, self.look.style("dim")), (self.look.glyphs.text(text), self.look.style("dim"))]

    @property
    def _amount(self) -> str:
        """How much of the stage is done, in bytes; of what goes before and after the stages in percent."""
        stage = next((stage for stage in self.job.stages if stage.total and not stage.is_over), None)
        if stage is not None:
            return f"{human_size(stage.done)} of {human_size(stage.total)}   "
        progress = self.job.progress
        return f"{100 * progress.done // progress.total} %   " if progress.total else ""


class JobDialog(TallDialog[None]):
    """How far an export is; closing it leaves the export running.

    Args:
        job: the export.
        look: colours and glyphs.
        asking: begin with the question whether to cancel.
    """

    BINDINGS = [
        Binding("enter", "close", "go on in the background", show=False),
        Binding("c", "cancel", "cancel", show=False),
        Binding("p", "pause", "pause", show=False),
        Binding("k", "end(True)", "keep", show=False),
        Binding("d", "end(False)", "delete", show=False),
    ]

    def __init__(self, job: ExportJob, look: Look, *, asking: bool = False) -> None:
        super().__init__()
        self.job = job
        self.look = look
        self.about = Notes(look)
        self.stages = Stages(job, look)
        self.outcome = Notes(look)
        self._asking = asking

    def compose(self) -> ComposeResult:
        """What, how far, what came out."""
        with Vertical(id="dialog", classes="form"):
            yield self.about
            yield self.stages
            yield self.outcome

    def on_mount(self) -> None:
        """Listen to the news."""
        cast("InspectApp", self.app).news.subscribe(self, self.news)
        self.entitle("Export")
        self.about.show(("", self.job.title, "strong"))
        self._show()

    def news(self, message: Message) -> None:
        """Something happened."""
        if isinstance(message, JobChanged) or (isinstance(message, Progressed) and message.task == "export"):
            self._show()

    def _show(self) -> None:
        job = self.job
        self.stages.refresh()
        self._asking = self._asking and not job.state.is_over
        self.offer(self._keys)
        if self._asking:
            self.outcome.show(("warning", _ASK, "warn"))
        elif job.state.is_over:
            self.outcome.show(*self._result())
        elif job.state is JobState.WAITING:
            self.outcome.show(("more", "waits for the export before it", "dim"))
        else:
            self.outcome.show()

    @property
    def _keys(self) -> str:
        if self.job.state.is_over:
            return "Esc close"
        if self._asking:
            return "k keep   d delete   Esc go on"
        if self.job.state is JobState.WAITING:
            return "c cancel   Esc go on in the background"
        return f"p {'go on' if self.job.progress.paused else 'pause'}   c cancel   Esc go on in the background"

    def _result(self) -> list[tuple[str, str, str]]:
        job = self.job
        sign, role = {JobState.DONE: ("yes", "good"), JobState.FAILED: ("no", "bad")}.get(job.state, ("no", "warn"))
        notes = [(sign, job.outcome, role)]
        notes += [("", f"{name:<8} {value}", "text") for name, value in job.hashes.items()]
        notes += [("warning", warning, "warn") for warning in job.notes]
        return notes + ([("", f"beside it: {', '.join(job.beside)}", "dim")] if job.beside else [])

    # -- actions ----------------------------------------------------------------------------------------------

    def action_pause(self) -> None:
        """Wait, or go on."""
        if self.job.state is JobState.RUNNING:
            self.job.progress.pause(not self.job.progress.paused)
            self._show()

    def action_cancel(self) -> None:
        """Ask what becomes of the unfinished file."""
        self._asking = not self.job.state.is_over
        self._show()

    def action_end(self, keep: bool) -> None:
        """Stop, and keep or delete what is unfinished."""
        if self._asking:
            self.job.keeps = keep
            self._asking = False
            cast("InspectApp", self.app).stop_job(self.job)
            self._show()

    def action_close(self) -> None:
        """Go on: with the export if it was asked, else behind the screens."""
        if self._asking:
            self._asking = False
            self._show()
        else:
            self.leave(None)
