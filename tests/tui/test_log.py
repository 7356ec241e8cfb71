"""The log: tasks that run and that are over, and the journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qcow2inspect.progress import Cancelled
from qcow2inspect.tui.dialogs.job import JobDialog
from qcow2inspect.tui.jobs import JobState, Log
from qcow2inspect.tui.screens.log import LogScreen
from qcow2inspect.tui.tasks.running import TaskFailed, TaskProgress
from tests.tui.stage import (
    COLOURED,
    PLAIN,
    SIZES,
    check_grid,
    compare_golden,
    inspector,
    memory_image,
    playing,
    press,
    settle,
    shown,
    tap,
    type_text,
)
from tests.tui.test_dialogs import held, order_export

__all__ = ["held"]  # a fixture

if TYPE_CHECKING:
    from qcow2inspect.tui.theme import Look


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
async def test_golden(size: tuple[int, int], look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    async with playing(memory_image(), size=size, look=look) as pilot:
        await press(pilot, "c", "enter", "g")
        await type_text(pilot, "L1[0].L2[0]")
        await press(pilot, "enter", "7")
        for job in inspector(pilot).session.log.jobs:
            job.ended = job.began
        await press(pilot, "down")
        check_grid(pilot.app, size)
        await compare_golden(pilot, f"log-{size[0]}x{size[1]}{'-plain' if look is PLAIN else ''}")


@pytest.mark.parametrize("size", [(20, 6), (40, 12), (79, 33), (116, 16), (300, 100)])
async def test_every_size_works(size: tuple[int, int]) -> None:
    async with playing(memory_image(), size=size) as pilot:
        for key in ("7", "down", "enter", "x", "space", "tab", "end"):
            await press(pilot, key)
            check_grid(pilot.app, size)


@pytest.mark.usefixtures("held")
async def test_an_export_is_stopped_from_here(tmp_path: Path) -> None:
    async with playing(memory_image(), size=(250, 40)) as pilot:  # room for the whole path
        for name in ("one.raw", "two.raw"):
            await order_export(pilot, tmp_path / name)
            await tap(pilot, "escape")
        first, second = inspector(pilot).exports
        await tap(pilot, "7")
        front = pilot.app.screen
        assert isinstance(front, LogScreen)
        assert front.jobs.current is second
        await tap(pilot, "x")
        assert (second.state, first.words) == (JobState.CANCELLED, "paused")
        await tap(pilot, "down", "enter")
        assert isinstance(pilot.app.screen, JobDialog)
        await tap(pilot, "escape", "x")
        assert "k keep" in shown(pilot.app)
        await tap(pilot, "d")
        await settle(pilot)
        assert first.state is JobState.CANCELLED
        await press(pilot, "escape")
        assert "nothing is left behind" in shown(pilot.app)
    assert list(tmp_path.iterdir()) == []


async def test_the_journal_tells_what_happened(tmp_path: Path) -> None:
    async with playing(memory_image()) as pilot:
        await press(pilot, "2", "m", "a", "right_square_bracket", "f", "r")
        await type_text(pilot, str(tmp_path / "r.txt"))
        await press(pilot, "enter", "escape", "7")
        texts = [entry.text for entry in inspector(pilot).session.log.entries]
        assert texts[0].startswith("opened demo.qcow2")
        assert any("mark a set" in text for text in texts)
        assert any("report written" in text for text in texts)
        assert "report written" in shown(pilot.app)


# -- the model ----------------------------------------------------------------------------------------------------


def test_tasks_end_once_and_say_how() -> None:
    log = Log()
    said: list[object] = []
    progress = TaskProgress("x", lambda _: None)
    with log.running("good", progress, said.append):
        assert log.active[0].words == "running"
    with log.running("bad", progress, said.append) as post:
        post(TaskFailed("x", ValueError("broken")))
    with log.running("stopped", progress, said.append) as post:
        post(TaskFailed("x", None))
    states = [JobState.DONE, JobState.FAILED, JobState.CANCELLED]
    assert [job.state for job in log.jobs] == states
    assert [entry.text for entry in log.entries] == ["bad: broken", "stopped: cancelled"]
    assert len(said) == 2
    log.note("hint", "dim")
    assert len(log.entries) == 2


def test_a_task_waits_only_as_long_as_it_is_let() -> None:
    import threading
    import time

    progress = TaskProgress("x", lambda _: None)
    progress.begin("working", 10)
    progress.pause(True)
    thread = threading.Thread(target=lambda: progress.advance(1))
    thread.start()
    time.sleep(0.12)
    assert (progress.paused, progress.done) == (True, 0)
    progress.pause(False)
    thread.join()
    assert progress.done == 1
    progress.pause(True)
    progress.stop()
    with pytest.raises(Cancelled):
        progress.advance(1)
