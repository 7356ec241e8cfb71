"""The report dialog: what it shows is what it writes, and the command line that it names writes the same bytes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import cast

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from qcow2inspect.build.demo import write_demo
from qcow2inspect.case import Case, read_log
from qcow2inspect.cli.main import run
from qcow2inspect.dossier.wishes import SECTIONS
from qcow2inspect.tui.dialogs.parts import Cycle, Toggle
from qcow2inspect.tui.dialogs.report import PartsList, Preview, ReportDialog
from qcow2inspect.tui.theme import Look
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


@pytest.fixture(autouse=True)
def one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


async def ask(pilot: Pilot[None]) -> ReportDialog:
    await tap(pilot, "r")
    await settle(pilot)
    return cast("ReportDialog", pilot.app.screen)


async def choose(pilot: Pilot[None], dialog: ReportDialog, name: str) -> None:
    cycle = dialog.query_one(Cycle)
    while not cycle.options[cycle.index].startswith(f"{name}:"):
        cycle.action_step(1)
    await settle(pilot)


@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
@pytest.mark.parametrize("size", SIZES)
async def test_golden(size: tuple[int, int], look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    async with playing(memory_image(), size=size, look=look) as pilot:
        dialog = await ask(pilot)
        dialog.query_one("#target", Input).value = "/case/demo.report.txt"
        parts = dialog.query_one(PartsList)
        parts.chosen -= {"checks", "provenance"}  # these grow with the rules, and differ from machine to machine
        parts._tell()
        await settle(pilot)
        check_grid(pilot.app, size)
        await compare_golden(pilot, f"report-{size[0]}x{size[1]}{'-plain' if look is PLAIN else ''}")


async def test_without_colours(tmp_path: Path) -> None:
    async with playing(memory_image(), size=(80, 24), look=PLAIN) as pilot:
        await ask(pilot)
        assert shown(pilot.app).isascii()


async def test_what_is_chosen_is_shown_and_written_as_the_command_line_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, damaged = write_demo(str(tmp_path))
    target = tmp_path / "out.html"
    async with playing(damaged) as pilot:
        await tap(pilot, "2", "m", "x")
        await settle(pilot)
        dialog = await ask(pilot)
        await choose(pilot, dialog, "html")
        assert dialog.query_one("#target", Input).value.endswith("demo-damaged.report.html")
        dialog.query_one("#target", Input).value = str(target)
        dialog.query_one("#note", Input).value = "seen on a screen"
        parts = dialog.query_one(PartsList)
        parts.set_cursor(list(SECTIONS).index("header"))
        parts.action_switch()
        await settle(pilot)
        preview = "\n".join(dialog.query_one(Preview)._texts)
        assert "seen on a screen" in preview
        assert "mark x" in preview
        assert "QCOW-L2-EOF" in preview
        assert "Header" not in preview
        words = dialog.reporter.words(dialog.order)
        dialog.query_one("#target", Input).focus()
        await tap(pilot, "enter")
        await settle(pilot)
        assert "report written" in shown(pilot.app)
        assert "the same: qcow2inspect report" in dialog.notes.text
        await tap(pilot, "escape")
        await settle(pilot)
    written = target.read_bytes()
    target.unlink()
    monkeypatch.setattr(sys, "argv", ["qcow2inspect", *words])
    assert run(words) == 0
    assert target.read_bytes() == written
    assert b"--without header" in written


async def test_names_are_hidden_and_nothing_is_no_report(tmp_path: Path) -> None:
    demo, _, _ = write_demo(str(tmp_path))
    async with playing(demo) as pilot:
        dialog = await ask(pilot)
        assert any("demo.qcow2" in line for line in dialog.query_one(Preview)._texts)
        dialog.query_one("#redact", Toggle).action_switch()
        await settle(pilot)
        assert not any("demo.qcow2" in line for line in dialog.query_one(Preview)._texts)
        dialog.query_one(PartsList).action_all()
        await settle(pilot)
        assert "nothing is chosen" in str(dialog.query_one("#preview").border_title)
        await tap(pilot, "enter")
        await settle(pilot)
        assert "choose at least one part" in dialog.notes.text
    assert {path.suffix for path in tmp_path.iterdir()} == {".qcow2"}


async def test_a_case_keeps_note_mark_report_and_the_command_that_replays_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    demo, _, _ = write_demo(str(tmp_path))
    case = Case(str(tmp_path / "c"))
    async with playing(demo) as pilot:
        inspector(pilot).session.case = case
        await tap(pilot, "2", "m", "x")
        await settle(pilot)
        dialog = await ask(pilot)
        assert dialog.query_one("#target", Input).value == str(tmp_path / "c/reports/demo.report.txt")
        dialog.query_one("#note", Input).value = "from the screen"
        await tap(pilot, "enter")
        await settle(pilot)
        assert "report written" in shown(pilot.app)
    assert case.notes == ("from the screen",)
    assert [words for _, words in case.marks] == ["mark x, 0x0"]
    marked, action = read_log(case.folder)
    assert marked["words"][::2] == ["note", "mark x at hdr.magic"]
    assert action["words"][0] == "report"
    assert json.dumps(action["outputs"]).count("sha256") == 1
    capsys.readouterr()
    assert run(["replay", case.folder]) == 0
    assert f"    same       {case.folder}/reports/demo.report.txt" in capsys.readouterr().out
