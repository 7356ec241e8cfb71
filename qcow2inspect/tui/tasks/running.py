"""How work runs that takes its time: in a thread that says how far it is and stops when it is told to."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from textual.message import Message

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.progress import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["Progressed", "ShortProgress", "TaskFailed", "TaskProgress", "guarded", "step_back"]

_INTERVAL = 0.1
_PATIENCE = 0.05
_NICE = 5


class Progressed(Message):
    """A task advanced.

    Attributes:
        task: ``survey``, ``export``, ``unlock``, ...
        what: what is being done.
        done: units (bytes in most cases) that are done.
        total: units in all; None if unknown.
        seconds: time since the step began.
    """

    def __init__(self, task: str, what: str, done: int, total: int | None, seconds: float) -> None:
        super().__init__()
        self.task = task
        self.what = what
        self.done = done
        self.total = total
        self.seconds = seconds

    def can_replace(self, message: Message) -> bool:
        """The newest progress of a task makes the older one worthless."""
        return isinstance(message, Progressed) and message.task == self.task


class TaskFailed(Message):
    """A task ended without a result.

    Attributes:
        task: its name.
        error: why; None if the user stopped it.
    """

    def __init__(self, task: str, error: Exception | None) -> None:
        super().__init__()
        self.task = task
        self.error = error


class TaskProgress:
    """A :class:`~qcow2inspect.progress.Progress` that posts at most ten messages a second.

    Attributes:
        what: what is being done.
        done: units of it that are done.
        total: units in all; None if unknown.

    Args:
        task: name of the task.
        post: takes a message from any thread.
    """

    total: int | None

    def __init__(self, task: str, post: Callable[[Message], object]) -> None:
        self._task = task
        self._post = post
        self._stop = threading.Event()
        self._go = threading.Event()
        self._go.set()
        self.what, self.done, self.total = "", 0, None
        self._began = self._told = 0.0

    @property
    def stopped(self) -> bool:
        """True once the user asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the task to stop; it does at its next step."""
        self._stop.set()

    @property
    def paused(self) -> bool:
        """True while the user lets the task wait."""
        return not self._go.is_set()

    def pause(self, wait: bool) -> None:
        """Let the task wait at its next step, or go on."""
        (self._go.clear if wait else self._go.set)()

    @property
    def seconds(self) -> float:
        """Time since the step began, without the time that the task had to wait."""
        return time.monotonic() - self._began if self._began else 0.0

    def begin(self, what: str, total: int | None) -> None:
        """A step of ``total`` units starts."""
        self.what, self.done, self.total = what, 0, total
        self._began = time.monotonic()
        self._tell(self._began)
        self.advance(0)

    def advance(self, amount: int) -> None:
        """``amount`` more units are done.

        Raises:
            Cancelled: the user asked to stop.
        """
        if not self._go.is_set():
            self._wait()
        if self._stop.is_set():
            raise Cancelled
        self.done += amount
        now = time.monotonic()
        if now - self._told >= _INTERVAL:
            self._tell(now)

    def _wait(self) -> None:
        """Wait until the user lets the task go on, or stops it; the time does not count."""
        since = time.monotonic()
        self._tell(since)
        while not (self._go.wait(_PATIENCE) or self._stop.is_set()):
            pass
        self._began += time.monotonic() - since

    def _tell(self, now: float) -> None:
        self._told = now
        self._post(Progressed(self._task, self.what, self.done, self.total, now - self._began))


class ShortProgress(TaskProgress):
    """Progress of a task that may take a short while only.

    Attributes:
        gave_up: True if that was not enough.

    Args:
        task: name of the task.
        post: takes a message from any thread.
        seconds: the while.
    """

    def __init__(self, task: str, post: Callable[[Message], object], seconds: float) -> None:
        super().__init__(task, post)
        self._deadline = time.monotonic() + seconds
        self.gave_up = False

    def advance(self, amount: int) -> None:
        """More is done; see :class:`TaskProgress`."""
        if not self.stopped and time.monotonic() > self._deadline:
            self.gave_up = True
            self.stop()
        super().advance(amount)


def step_back() -> None:
    """Let the thread that paints go first: on Linux each thread, with those that it starts, has its own priority."""
    if sys.platform == "linux" and threading.current_thread() is not threading.main_thread():
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def guarded(task: str, post: Callable[[Message], object], work: Callable[[], Message]) -> None:
    """Post what ``work`` gives, or that it failed."""
    step_back()
    try:
        post(work())
    except Cancelled:
        post(TaskFailed(task, None))
    except (Qcow2InspectError, OSError, ValueError) as error:
        post(TaskFailed(task, error))
