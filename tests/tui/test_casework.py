"""What is done on the screens goes into the log of the case, and replay does it again to the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from qcow2inspect.build.demo import demo_disk, write_demo
from qcow2inspect.case import Case, read_log
from qcow2inspect.cli.main import run
from qcow2inspect.errors import CannotExport
from qcow2inspect.tui.dialogs.export import ExportDialog
from qcow2inspect.tui.jobs import JobState
from tests.tui.stage import inspector, playing, settle, shown, tap
from tests.tui.test_dialogs import choose, held, open_export, order_export, start

__all__ = ["held"]  # a fixture

if TYPE_CHECKING:
    from textual.pilot import Pilot


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    write_demo(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    return Case("c")


def keep(pilot: Pilot[None], case: Case) -> None:
    inspector(pilot).session.case = case


async def test_an_export_is_logged_and_replayed(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    async with playing("demo.qcow2") as pilot:
        keep(pilot, case)
        await tap(pilot, "e")
        await settle(pilot)
        dialog = pilot.app.screen
        assert isinstance(dialog, ExportDialog)
        target = Path(dialog.query_one("#target", Input).value)
        assert target == Path("c/exports/demo.raw").absolute(), "it goes into the case"
        await choose(pilot, "compare")
        job = (await start(pilot)).job
        assert job.state is JobState.DONE, job.outcome
        entries = [entry.text for entry in inspector(pilot).session.log.entries]
        assert any("logged in c; head of the log" in text for text in entries)
    assert target.read_bytes() == demo_disk()
    (action,) = read_log("c")
    assert action["words"][:3] == ["export", "demo.qcow2", str(target)]
    assert (action["exit"], action["image"]["path"]) == (0, "demo.qcow2")
    assert [Path(output["path"]).name for output in action["outputs"]] == [
        "demo.raw",
        "demo.raw.manifest.json",
        "demo.raw.manifest.txt",
    ]
    assert action["outputs"][0]["sha256"] == job.hashes["sha256"]
    assert run(["replay", "c"]) == 0
    out = capsys.readouterr().out
    assert f"same       {target}\n" in out
    assert out.count("same body  ") == 2, "manifests name the folder that they are in"


@pytest.mark.usefixtures("held")
async def test_what_was_stopped_is_logged_and_not_done_again(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    async with playing("demo.qcow2") as pilot:
        keep(pilot, case)
        await order_export(pilot, Path("out.raw").absolute())
        job = inspector(pilot).exports[0]
        while not job.progress.paused:
            await pilot.pause(0.01)
        await tap(pilot, "c", "d")
        await settle(pilot)
        assert job.state is JobState.CANCELLED
    (action,) = read_log("c")
    assert (action["words"], action["exit"], action["outputs"]) == ([], 130, [])
    assert action["command"][0] == "export"
    assert action["outcome"] == "cancelled; nothing is left behind"
    assert run(["replay", "c"]) == 0
    assert "not done again" in capsys.readouterr().out


async def test_a_log_that_cannot_be_written_is_said(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise CannotExport("c/actions.jsonl: No space left on device")

    monkeypatch.setattr(case, "record", full)
    async with playing("demo.qcow2", size=(200, 60)) as pilot:
        keep(pilot, case)
        await open_export(pilot, Path("out.raw").absolute())
        job = (await start(pilot)).job
        assert job.state is JobState.FAILED
        assert "NOT LOGGED in the case" in shown(pilot.app)
    assert Path("out.raw").read_bytes() == demo_disk()
