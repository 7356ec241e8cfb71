"""How far an export is: the dialog, the question that cancelling asks, the gauge behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from qcow2inspect.export.choices import Choices
from qcow2inspect.tui.exporting import ExportJob, ExportProgress, Order
from qcow2inspect.tui.jobs import JobChanged, JobState
from qcow2inspect.tui.location import ACTIVE
from tests.tui.stage import (
    COLOURED,
    PLAIN,
    SIZES,
    check_grid,
    compare_golden,
    inspector,
    memory_image,
    playing,
    settle,
    shown,
    tap,
)

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from qcow2inspect.tui.theme import Look

GIB = 1 << 30
LOOKS = pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])


def job_to(target: str) -> ExportJob:
    """An export in three stages that nobody carries out."""
    order = Order(ACTIVE, target, Choices(hashes=("sha256",), verify=True), compares=True)
    return ExportJob(f"{order.title} to {target}", ExportProgress(order.stages, lambda _: None), order=order)


@dataclass
class Moment:
    """The same moment of the same export, on every machine."""

    job: ExportJob

    def verifying(self) -> None:
        """All is copied, five eighths are read back."""
        copy, verify, _ = self.job.stages
        copy.done = copy.total = GIB
        copy.seconds, copy.is_over = 2.5, True
        verify.done, verify.total, verify.seconds = GIB * 5 // 8, GIB, 0.5
        self.job.state = JobState.RUNNING
        progress = self.job.progress
        assert isinstance(progress, ExportProgress)
        progress.current, progress.what = verify, "Verifying /cases/7/disk.raw"

    def done(self) -> None:
        """It has ended."""
        for stage, seconds in zip(self.job.stages, (2.5, 1.0, 75.0), strict=True):
            stage.done, stage.total, stage.seconds, stage.is_over = GIB, GIB, seconds, True
        self.job.hashes = {"sha256": "9f2c" * 15 + "e41a"}
        self.job.notes = ("4,096 B could not be read: zeros stand in their place",)
        self.job.end(JobState.DONE, "/cases/7/disk.raw: 1,073,741,824 B (1 GiB), 29.6 MiB written")


async def show(pilot: Pilot[None], number: int = 0) -> tuple[ExportJob, ExportJob]:
    """Two exports, the first in its second stage, one of them in front."""
    app = inspector(pilot)
    jobs = job_to("/cases/7/disk.raw"), job_to("/cases/7/disk-again.raw")
    Moment(jobs[0]).verifying()
    app.session.log.jobs += jobs
    app.show_job(jobs[number])
    app.news.publish(JobChanged(jobs[0]))
    await settle(pilot)
    return jobs


def name_of(size: tuple[int, int], look: Look) -> str:
    return f"{size[0]}x{size[1]}{'-plain' if look is PLAIN else ''}"


def test_what_comes_after_a_stage_is_none_of_its_time() -> None:
    progress = ExportProgress(["copy", "verify"], lambda _: None)
    progress.begin("Planning", 7)
    progress.begin("Exporting to x", 100)
    progress.advance(90)  # the rest turned out to be holes
    progress.stages[0].seconds = 5.0
    progress.begin("Hashing x", 3)
    progress.advance(3)
    copy, verify = progress.stages
    assert (copy.done, copy.seconds, copy.is_over) == (100, 5.0, True)
    assert (verify.done, verify.total, verify.is_over) == (0, 0, False)


@LOOKS
@pytest.mark.parametrize("size", SIZES)
async def test_golden(size: tuple[int, int], look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three stages, rate, time left; behind them the gauge."""
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    async with playing(memory_image(), size=size, look=look) as pilot:
        await show(pilot)
        check_grid(pilot.app, size)
        await compare_golden(pilot, f"job-{name_of(size, look)}")
        await tap(pilot, "escape")
        assert "verify 62 %, 1 more" in shown(pilot.app)
        await compare_golden(pilot, f"job-behind-{name_of(size, look)}")


@LOOKS
async def test_golden_of_every_state(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    size = 80, 24
    async with playing(memory_image(), size=size, look=look) as pilot:
        job, _ = await show(pilot)
        await tap(pilot, "p")
        await compare_golden(pilot, f"job-paused-{name_of(size, look)}")
        await tap(pilot, "p", "c")
        await compare_golden(pilot, f"job-cancel-{name_of(size, look)}")
        await tap(pilot, "escape")
        Moment(job).done()
        inspector(pilot).news.publish(JobChanged(job))
        await settle(pilot)
        await compare_golden(pilot, f"job-done-{name_of(size, look)}")
    async with playing(memory_image(), size=size, look=look) as pilot:
        await show(pilot, 1)
        await compare_golden(pilot, f"job-waits-{name_of(size, look)}")


@pytest.mark.parametrize("size", [(20, 6), (40, 12), (300, 100)])
async def test_every_size_works(size: tuple[int, int]) -> None:
    async with playing(memory_image(), size=size) as pilot:
        await show(pilot)
        for key in ("p", "p", "c", "escape", "escape"):
            await tap(pilot, key)
            check_grid(pilot.app, size)
