"""Assumptions on the screens: offered where an image cannot be opened, worked out, shown, named in what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from qcow2inspect.build.demo import demo_disk, demo_recipe
from qcow2inspect.build.recipe import build
from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.image.assume import read_assumptions
from qcow2inspect.image.image import Image
from qcow2inspect.source.file import FileSource
from qcow2inspect.tui.app import InspectApp
from qcow2inspect.tui.dialogs.assume import AssumeDialog
from qcow2inspect.tui.failure import FailureApp
from qcow2inspect.tui.jobs import JobState
from qcow2inspect.tui.reporting import Reporter, ReportOrder
from qcow2inspect.tui.run import run
from qcow2inspect.tui.session import Session
from tests.tui.stage import COLOURED, PLAIN, check_grid, compare_golden, inspector, playing, settle, shown, tap
from tests.tui.test_dialogs import open_export, start

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from qcow2inspect.tui.theme import Look

SOUND = build(demo_recipe())


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image whose header says nonsense about its clusters."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "broken.qcow2"
    path.write_bytes(SOUND[:20] + b"\xff\xff\xff\xff" + SOUND[24:])
    return path


def failure(path: Path, look: Look = COLOURED) -> FailureApp:
    with pytest.raises(Qcow2InspectError) as caught:
        Image.open(path.name if path.exists() else str(path))
    return FailureApp(path.name, caught.value, look)


async def answer(pilot: Pilot[None], text: str) -> AssumeDialog:
    dialog = pilot.app.screen
    assert isinstance(dialog, AssumeDialog)
    dialog.query_one(Input).value = text
    await tap(pilot, "enter")
    await settle(pilot)
    return dialog


@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
async def test_golden(broken: Path, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    name = "-plain" if look is PLAIN else ""
    async with failure(broken, look).run_test(size=(80, 24)) as pilot:
        await pilot.pause(0)
        assert "A opens it as if other values stood" in shown(pilot.app)
        await tap(pilot, "A")
        await settle(pilot)
        await compare_golden(pilot, f"assume-asks-80x24{name}")
        await answer(pilot, "auto")
        check_grid(pilot.app, (80, 24))
        await compare_golden(pilot, f"assume-80x24{name}")


async def test_an_image_that_cannot_be_opened_is_opened_with_what_is_worked_out(broken: Path) -> None:
    app = failure(broken)
    async with app.run_test(size=(100, 30)) as pilot:
        await tap(pilot, "A")
        await settle(pilot)
        dialog = await answer(pilot, "auto")
        assert "ASSUMED cluster_bits=16 (stored is 0xffffffff)" in dialog.notes.text
        await tap(pilot, "enter")
        await settle(pilot)
    assert app.reopen is not None
    assert [one.option for one in app.reopen.all] == ["cluster_bits=16"]
    async with playing(Image.open(str(broken), app.reopen), size=(200, 60)) as pilot:
        assert "ASSUMED cluster_bits=16" in shown(pilot.app)
        session = inspector(pilot).session
        assert session.opening == ("--assume", "auto")
        assert any(entry.text.startswith("ASSUMED cluster_bits=16") for entry in session.log.entries)
        target = broken.with_name("out.raw")
        await open_export(pilot, target)
        job = (await start(pilot)).job
        assert job.state is JobState.DONE, job.outcome
        assert target.read_bytes() == demo_disk()
        manifest = json.loads(target.with_name("out.raw.manifest.json").read_text())
        assert manifest["assumed"][0].startswith("cluster_bits=16 (stored is 0xffffffff)")
        assert manifest["command"][-2:] == ["--assume", "auto"]
        words = Reporter(session).words(ReportOrder("r.txt"))
        assert words[-2:] == ["--assume", "auto"]


async def test_what_means_nothing_and_what_does_not_help_is_said(broken: Path) -> None:
    app = failure(broken)
    async with app.run_test(size=(100, 30)) as pilot:
        await tap(pilot, "A")
        await settle(pilot)
        for text, says in (
            ("nonsense", "nonsense"),
            ("cluster_bits=99", "cannot be opened with this"),
            ("size=1M", "cannot be opened with this"),
        ):
            dialog = await answer(pilot, text)
            assert says in dialog.notes.text
            await tap(pilot, "enter")
            await settle(pilot)
            assert pilot.app.screen is dialog, "it is not opened so"
        await answer(pilot, "cluster_bits=16")
        await tap(pilot, "escape")
        assert app.reopen is None
        await tap(pilot, "q")


async def test_a_file_that_is_not_there_is_no_matter_of_assumptions() -> None:
    app = failure(Path("/nowhere/at/all.qcow2"))
    async with app.run_test(size=(100, 30)) as pilot:
        assert "A opens it" not in shown(app)
        await tap(pilot, "A")
        assert not isinstance(pilot.app.screen, AssumeDialog)


async def test_an_open_image_is_opened_again(broken: Path) -> None:
    with FileSource(str(broken)) as source:
        assumed = read_assumptions(source, ["cluster_bits=16"])
    async with playing(Image.open(str(broken), assumed)) as pilot:
        app = inspector(pilot)
        await tap(pilot, "A")
        await settle(pilot)
        assert pilot.app.screen.query_one(Input).value == "cluster_bits=16"
        await answer(pilot, "cluster_bits=16 size=1M")
        await tap(pilot, "enter")
        await settle(pilot)
    assert app.reopen is not None
    assert app.reopen.shown == "cluster_bits=16, size=0x100000"


def test_the_program_comes_back_with_what_was_assumed(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failure, then the image with one assumption, then with two; what the user wrote stays."""
    seen: list[Session] = []

    def fail(self: FailureApp) -> None:
        with FileSource(self.path) as source:
            self.reopen = read_assumptions(source, ["cluster_bits=16"])

    def inspect(self: InspectApp) -> None:
        seen.append(self.session)
        if len(seen) == 1:
            self.session.marks["a"] = self.session.here
            self.reopen = read_assumptions(self.session.image.source, ["cluster_bits=16", "size=1M"])

    monkeypatch.setattr(FailureApp, "run", fail)
    monkeypatch.setattr(InspectApp, "run", inspect)
    assert run(str(broken)) == 0
    assert [session.image.assumed.shown for session in seen] == ["cluster_bits=16", "cluster_bits=16, size=0x100000"]
    assert seen[1].marks == seen[0].marks != {}
    assert [entry.text for entry in seen[1].log.entries if entry.text.startswith("ASSUMED size")]


async def test_the_export_dialog_says_what_may_bring_back_more(tmp_path: Path) -> None:
    path = tmp_path / "demo.qcow2"
    path.write_bytes(SOUND)
    async with playing(str(path)) as pilot:
        dialog = await open_export(pilot, tmp_path / "out.raw")
        assert "assumed" not in dialog.checks.text
        dialog.query_one("#policy").focus()
        await tap(pilot, "space", "space", "space")
        await settle(pilot)
        assert "A on any screen works out what must be assumed" in dialog.checks.text
