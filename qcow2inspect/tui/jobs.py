"""What is done in the background, and what was done: the tasks and the journal of a session. No widgets here."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from textual.message import Message

from qcow2inspect.tui.tasks.running import TaskFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qcow2inspect.tui.tasks.running import TaskProgress

__all__ = ["Entry", "Job", "JobChanged", "JobState", "Log"]

_MOST_ENTRIES = 10_000
_RECORDED = ("good", "warn", "bad", "note")


class JobChanged(Message):
    """A task has begun, or is over."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job


class JobState(Enum):
    """How a task is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """True if nothing more will happen."""
        return self not in (JobState.WAITING, JobState.RUNNING)


@dataclass
class Job:
    """One task.

    Attributes:
        title: what is done.
        progress: how far it is; stops it and lets it wait.
        state: how it is.
        began: when it was asked for, in UTC.
        ended: when it was over; None before.
        outcome: what came out, or why nothing did.
    """

    title: str
    progress: TaskProgress
    state: JobState = JobState.WAITING
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None
    outcome: str = ""

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return ((self.ended or datetime.now(UTC)) - self.began).total_seconds()

    @property
    def words(self) -> str:
        """How it is, in a word or two."""
        if self.state is not JobState.RUNNING:
            return str(self.state.value)
        if self.progress.paused:
            return "paused"
        total = self.progress.total
        return f"{100 * self.progress.done // total} %" if total else "running"

    @property
    def told(self) -> str:
        """What was done, and what came of it."""
        return f"{self.title}: {self.outcome}"

    @property
    def summary(self) -> list[str]:
        """What stays in the terminal."""
        return [self.told]

    def end(self, state: JobState, outcome: str = "") -> None:
        """Nothing more will happen; the first who says so is right."""
        if not self.state.is_over:
            self.state, self.outcome, self.ended = state, outcome, datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal.

    Attributes:
        at: when, in UTC.
        text: what happened.
        role: how it is shown.
    """

    at: datetime
    text: str
    role: str


@dataclass
class Log:
    """Tasks and journal.

    Attributes:
        jobs: all tasks of the session, the oldest first.
        entries: the journal, the oldest first.
    """

    jobs: list[Job] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def note(self, text: str, role: str = "note") -> None:
        """Remember something that happened; hints and progress are not worth it."""
        last = self.entries[-1].text if self.entries else ""
        if text and text != last and role in _RECORDED:
            self.entries.append(Entry(datetime.now(UTC), text, role))
            del self.entries[:-_MOST_ENTRIES]

    def add(self, title: str, progress: TaskProgress) -> Job:
        """A task that waits for its turn."""
        job = Job(title, progress)
        self.jobs.append(job)
        return job

    @contextmanager
    def running(
        self, title: str, progress: TaskProgress, post: Callable[[Message], object]
    ) -> Iterator[Callable[[Message], object]]:
        """A task from here to the end of the block; gives what its messages are posted with."""
        job = self.add(title, progress)
        job.state = JobState.RUNNING

        def heard(message: Message) -> None:
            if isinstance(message, TaskFailed):
                self.failed(job, message.error)
            post(message)

        try:
            yield heard
        finally:
            job.end(JobState.DONE)

    def failed(self, job: Job, error: Exception | None) -> None:
        """A task ended without a result."""
        job.end(JobState.FAILED if error is not None else JobState.CANCELLED, str(error or ""))
        self.note(f"{job.title}: {error or 'cancelled'}", "bad" if error is not None else "warn")

    @property
    def active(self) -> list[Job]:
        """The tasks that are not over."""
        return [job for job in self.jobs if not job.state.is_over]
