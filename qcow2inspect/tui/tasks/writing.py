"""Writes reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from qcow2inspect.tui.tasks.running import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qcow2inspect.tui.reporting import Reporter, ReportOrder
    from qcow2inspect.tui.tasks.running import TaskProgress

__all__ = ["ReportPreviewed", "ReportWritten", "preview_report", "write_report"]


class ReportPreviewed(Message):
    """What a report will look like.

    Attributes:
        order: what was asked for.
        lines: the first of them.
        count: how many there are.
    """

    def __init__(self, order: ReportOrder, lines: list[str], count: int) -> None:
        super().__init__()
        self.order = order
        self.lines = lines
        self.count = count


class ReportWritten(Message):
    """The report is on disk."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


def preview_report(
    reporter: Reporter, order: ReportOrder, progress: TaskProgress, post: Callable[[Message], object]
) -> None:
    """Make the first lines of a report."""
    guarded("report", post, lambda: ReportPreviewed(order, *reporter.preview(order, progress)))


def write_report(
    reporter: Reporter, order: ReportOrder, progress: TaskProgress, post: Callable[[Message], object]
) -> None:
    """Write a report."""
    _written("report", reporter.places(order), post, lambda: ReportWritten(reporter.write(order, progress)))


def _written(task: str, places: Sequence[str], post: Callable[[Message], object], work: Callable[[], Message]) -> None:
    """Like :func:`guarded`, for a task that writes: to these places and nowhere else."""
    from qcow2inspect.source.landlock import write_within

    guarded(task, post, lambda: write_within(places, work))
