"""What the application does while the user goes on: comparing, exporting."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from textual import work
from textual.signal import Signal

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui.base import BaseApp
from qcow2inspect.tui.commands import key_of
from qcow2inspect.tui.jobs import JobState
from qcow2inspect.tui.tasks.running import TaskProgress
from qcow2inspect.units import GuestOffset

if TYPE_CHECKING:
    from textual.message import Message

    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.tui.app import InspectApp
    from qcow2inspect.tui.comparison import Comparison, Side
    from qcow2inspect.tui.exporting import ExportJob, Order
    from qcow2inspect.tui.jobs import Job, JobChanged
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.comparing import ComparisonGrew, OtherOpened
    from qcow2inspect.tui.theme import Look

__all__ = ["Background"]


class Background(BaseApp):
    """The part of the inspector that works behind the screens.

    Attributes:
        session: the image and where the user is.
        news: told about everything that happens in the background.

    Args:
        session: an open image.
        look: colours and glyphs; those of the terminal by default.
    """

    def __init__(self, session: Session, look: Look | None = None) -> None:
        super().__init__(look)
        self.session: Session = session
        self.news: Signal[Message] = Signal(self, "news")
        self._comparing = TaskProgress("compare", self.post_message)
        self._warned = False

    @property
    def _self(self) -> InspectApp:
        return cast("InspectApp", self)

    def stop_all(self) -> None:
        """The user leaves: nothing goes on; unfinished exports stay, so that they can be continued."""
        for job in self.session.log.active:
            self.stop_job(job)

    def on_unmount(self) -> None:
        """However the end comes, no thread waits for ever."""
        self.stop_all()

    def stop_job(self, job: Job) -> None:
        """Ask a task to stop; one that has not begun is over at once."""
        job.progress.stop()
        if job.state is JobState.WAITING:
            job.end(JobState.CANCELLED, "cancelled before it began")

    def may_leave(self) -> bool:
        """False once if an export runs: the user is told, and has to ask again."""
        if not self.exports or self._warned:
            return True
        self._warned = True
        self._self.say(f"an export is not done: {key_of('quit')} again leaves, and keeps what is unfinished", "warn")
        return False

    # -- comparing --------------------------------------------------------------------------------------------

    def action_compare(self) -> None:
        """Choose two disks and compare them."""
        from qcow2inspect.tui.dialogs.compare import CompareDialog

        self.push_screen(CompareDialog(self.session, self.look), self.begin_comparison)

    def begin_comparison(self, comparison: Comparison | None) -> None:
        """Show two disks side by side, and look for what differs behind it."""
        if comparison is None:
            return
        self.stop_comparison()
        self.session.comparison = comparison
        here = self._self.here
        guest = here.guest if here.mode in ("guest", "compare") else None
        self._self.jump(replace(comparison.a.place(guest or GuestOffset(0)), mode="compare"))
        self._comparing = TaskProgress("compare", self.post_message)
        self._compare(comparison, self._comparing)

    def assume_of(self, side: Side) -> None:
        """Ask what to assume of another file, and open it again so."""
        from qcow2inspect.tui.dialogs.assume import AssumeDialog

        layer = side.chain.layers[0]

        def take(assumed: Assumptions | None) -> None:
            if assumed is not None:
                self._open_again_as(layer.name, assumed)

        self.push_screen(AssumeDialog(self.look, lambda: nullcontext(layer.source), side.assumed), take)

    @work(thread=True, exclusive=True, group="open", exit_on_error=False)
    def _open_again_as(self, path: str, assumed: Assumptions) -> None:
        from qcow2inspect.tui.tasks import comparing

        comparing.open_other(path, self.session.gate, self.post_message, assumed)

    def on_other_opened(self, message: OtherOpened) -> None:
        """The file that is compared with is there again, read in another way."""
        self.session.take_other(message.chain)
        comparison = self.session.comparison
        try:
            self.begin_comparison(comparison.reopened(message.chain) if comparison is not None else None)
        except Qcow2InspectError as error:
            self._self.say(str(error), "bad")

    def compare_anew(self) -> None:
        """Files were opened or layers unlocked: what was found may be wrong now."""
        comparison = self.session.comparison
        if comparison is None:
            return
        self.stop_comparison()
        try:
            self.session.comparison = comparison.renewed(self.session.chain)
        except (Qcow2InspectError, ValueError) as error:
            comparison.trouble = str(error)
            return
        self._comparing = TaskProgress("compare", self.post_message)
        self._compare(self.session.comparison, self._comparing)

    def stop_comparison(self) -> None:
        """Compare no further."""
        self._comparing.stop()

    @work(thread=True, group="compare", exit_on_error=False)
    def _compare(self, comparison: Comparison, progress: TaskProgress) -> None:
        from qcow2inspect.tui.tasks import comparing

        a, b = comparison.sides
        with self.session.log.running(f"comparing {a.title} with {b.title}", progress, self.post_message) as post:
            comparing.compare(comparison, progress, post)
            comparison.trouble = "" if comparison.is_done else "stopped" if progress.stopped else "failed"

    def on_comparison_grew(self, message: ComparisonGrew) -> None:
        """Tell the screens."""
        self.news.publish(message)

    # -- exporting --------------------------------------------------------------------------------------------

    def action_export(self, target: str = "") -> None:
        """Write bytes of the guest to a file."""
        from qcow2inspect.tui.dialogs.export import ExportDialog

        self.push_screen(ExportDialog(self.session, self.look, target), self.queue_export)

    def queue_export(self, order: Order | None) -> None:
        """Carry out an order when those before it are done, and show how far it is."""
        if order is None:
            return
        from qcow2inspect.tui.exporting import ExportJob, ExportProgress
        from qcow2inspect.tui.jobs import JobChanged

        progress = ExportProgress(order.stages, self.post_message)
        job = ExportJob(f"{order.title} to {order.target}", progress, order=order)
        self.session.log.jobs.append(job)
        self.session.log.note(f"{job.title}: asked for")
        self.show_job(job)
        self._self.say("", "dim")  # what was said before would hide how far it is
        self._next_export()
        self.news.publish(JobChanged(job))

    def show_job(self, job: ExportJob, *, asking: bool = False) -> None:
        """How far an export is; ``asking`` whether it shall be cancelled."""
        from qcow2inspect.tui.dialogs.job import JobDialog

        self.push_screen(JobDialog(job, self.look, asking=asking))

    @property
    def exports(self) -> list[ExportJob]:
        """The exports that are not over, in the order in which they will be carried out."""
        if not self.session.log.active:
            return []  # nothing needs to be loaded to tell
        from qcow2inspect.tui.exporting import ExportJob

        return [job for job in self.session.log.active if isinstance(job, ExportJob)]

    def _next_export(self) -> None:
        """Begin the one whose turn it is, if none runs."""
        waiting = self.exports
        if waiting and waiting[0].state is JobState.WAITING:
            waiting[0].state = JobState.RUNNING
            self._export(waiting[0])

    @work(thread=True, group="export", exit_on_error=False)
    def _export(self, job: ExportJob) -> None:
        from qcow2inspect.tui.exporting import carry_out

        carry_out(self.session, job, self.post_message)

    def on_job_changed(self, message: JobChanged) -> None:
        """Tell the screens; say how an export ended."""
        job = message.job
        if job.state.is_over:
            role = {JobState.DONE: "good", JobState.FAILED: "bad"}.get(job.state, "warn")
            words = job.told
            self.session.done += job.summary
            self._self.say(words, role)
            self.session.log.note(words, role)
            self._next_export()
        self.news.publish(message)
