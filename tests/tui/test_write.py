"""Bytes that are selected are written to a file of their own, with the care of any export."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from qcow2inspect.build.demo import demo_disk, demo_recipe
from qcow2inspect.build.recipe import build
from qcow2inspect.cli.main import run as main
from qcow2inspect.tui.dialogs.job import JobDialog
from qcow2inspect.tui.dialogs.write import WriteDialog
from qcow2inspect.tui.jobs import JobState
from tests.tui.stage import explore, go, guest, inspector, playing, settle, shown, tap

if TYPE_CHECKING:
    from textual.pilot import Pilot

DEMO = build(demo_recipe())


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    path = tmp_path / "demo.qcow2"
    path.write_bytes(DEMO)
    return path


async def ask(pilot: Pilot[None], target: Path | None = None) -> WriteDialog:
    """The dialog, with a target; the default one if None."""
    await tap(pilot, "w")
    dialog = pilot.app.screen
    assert isinstance(dialog, WriteDialog)
    if target is not None:
        dialog.query_one(Input).value = str(target)
    await settle(pilot)
    return dialog


async def write(pilot: Pilot[None], target: Path) -> None:
    await ask(pilot, target)
    await tap(pilot, "enter")
    await settle(pilot)
    assert isinstance(pilot.app.screen, JobDialog)
    assert pilot.app.screen.job.state is JobState.DONE, pilot.app.screen.job.outcome
    await tap(pilot, "escape")


def repeated(target: Path) -> bytes:
    """What the command line of a manifest writes, into another file."""
    words = json.loads((target.parent / f"{target.name}.manifest.json").read_text())["command"]
    again = target.with_suffix(".again")
    assert main([str(again) if word == str(target) else word for word in words[1:]]) == 0
    return again.read_bytes()


async def test_a_structure_of_the_tree(demo: Path, tmp_path: Path) -> None:
    target = tmp_path / "table.bin"
    async with playing(demo) as pilot:
        await go(pilot, "L1[0].L2")
        where = explore(pilot).session.place("L1[0].L2")
        assert where is not None
        await tap(pilot, "t")
        await settle(pilot)
        explore(pilot).tree_pane.reveal(where.node)
        explore(pilot).node = where.node
        await write(pilot, target)
    wanted = DEMO[int(where.node.where.start) : int(where.node.where.end)]
    assert target.read_bytes() == wanted == repeated(target)
    manifest = json.loads((tmp_path / "table.bin.manifest.json").read_text())
    assert manifest["hashes"]["sha256"] == hashlib.sha256(wanted).hexdigest()
    assert manifest["command"][4:6] == ["--at", "L1[0].L2"]
    assert manifest["view"].startswith("L1[0].L2, host bytes 0x")
    assert demo.read_bytes() == DEMO


async def test_a_selection_of_host_bytes(demo: Path, tmp_path: Path) -> None:
    target = tmp_path / "some.bin"
    async with playing(demo) as pilot:
        await tap(pilot, "2", "right", "right", "v", "down", "down")
        await write(pilot, target)
        assert explore(pilot).hex.began is None
    assert target.read_bytes() == DEMO[2:35] == repeated(target)


async def test_a_selection_of_guest_bytes(demo: Path, tmp_path: Path) -> None:
    target = tmp_path / "guest.bin"
    async with playing(demo) as pilot:
        await go(pilot, "@snap[0] G0x80000")
        assert "guest 0x80000" in shown(pilot.app)
        await tap(pilot, "w")
        assert "v selects the bytes" in shown(pilot.app)
        await tap(pilot, "v", "pagedown", "right")
        chosen = guest(pilot).hex.chosen
        await write(pilot, target)
        view = inspector(pilot).session.view()
        wanted = view.read_at(chosen.start, len(chosen))
    assert target.read_bytes() == wanted == repeated(target)
    assert wanted != demo_disk()[chosen.start : chosen.stop]


async def test_nothing_is_replaced_and_the_evidence_is_never_written(demo: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.bin"
    taken.write_bytes(b"mine")
    async with playing(demo) as pilot:
        await tap(pilot, "2")
        for target, words in ((taken, "exists"), (demo, "evidence"), (tmp_path / "no" / "x", "does not exist")):
            dialog = await ask(pilot, target)
            assert words in dialog.checks.text, dialog.checks.text
            await tap(pilot, "enter")
            await settle(pilot)
            assert pilot.app.screen is dialog
            await tap(pilot, "escape")
    assert taken.read_bytes() == b"mine"
    assert demo.read_bytes() == DEMO


async def test_the_dialog_names_a_new_file_and_the_command_line(demo: Path) -> None:
    async with playing(demo) as pilot:
        await tap(pilot, "2")
        dialog = await ask(pilot)
        assert dialog.query_one(Input).value == str(demo.parent / "demo.hdr_magic.bin")
        line = shlex.join(["qcow2inspect", "export", str(demo), str(demo.parent / "demo.hdr_magic.bin")])
        assert f"{line} --at hdr.magic -n 4 --hash sha256 --verify" in dialog.checks.text
