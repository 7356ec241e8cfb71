"""Bytes that no guest sees, looked at like any state of the disk: hex, addresses, search, export, the same commands."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qcow2inspect.build.demo import write_demo
from qcow2inspect.cli.main import run
from qcow2inspect.errors import BadAddress
from qcow2inspect.image.view import HostParts
from qcow2inspect.survey.deep import look_deep
from qcow2inspect.survey.survey import take_survey
from qcow2inspect.tui.copying import Copied, command_line
from qcow2inspect.tui.dialogs.states import StatesDialog
from qcow2inspect.tui.jobs import JobState
from qcow2inspect.tui.places import parse_place, text_of
from tests.tui.stage import (
    COLOURED,
    PLAIN,
    check_grid,
    compare_golden,
    go,
    guest,
    inspector,
    memory_image,
    playing,
    settle,
    shown,
    tap,
)
from tests.tui.test_dialogs import open_export, start

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from qcow2inspect.tui.theme import Look


async def find(pilot: Pilot[None]) -> StatesDialog:
    """Look for residues."""
    await tap(pilot, "S", "r")
    await settle(pilot)
    dialog = pilot.app.screen
    assert isinstance(dialog, StatesDialog)
    return dialog


@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
async def test_golden(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    async with playing(memory_image(), size=(80, 24), look=look) as pilot:
        await find(pilot)
        check_grid(pilot.app, (80, 24))
        await compare_golden(pilot, f"residues-80x24{'-plain' if look is PLAIN else ''}")


async def test_every_kind_is_a_state_with_its_bytes() -> None:
    image = memory_image()
    wanted = look_deep(take_survey(image)).residues
    assert len(wanted) > 2
    async with playing(image) as pilot:
        await find(pilot)
        session = inspector(pilot).session
        assert session.residues is not None
        assert [state.residue for state in session.residues] == [residue.name for residue in wanted]
        for state, residue in zip(session.residues, wanted, strict=True):
            view, right = state.view(session.chain), residue.view(image)
            assert view.read_at(0, view.size) == right.read_at(0, right.size)
            assert text_of(session, parse_place(session, f"@residue[{residue.name}] G0x0")) == (
                f"@residue[{residue.name}] G0x0"
            )
        with pytest.raises(BadAddress, match="it has"):
            parse_place(session, "@residue[nothing] G0")


async def test_they_are_walked_followed_and_named() -> None:
    async with playing(memory_image(), size=(200, 60)) as pilot:
        with pytest.raises(BadAddress, match="S and then r"):
            parse_place(inspector(pilot).session, "@residue[free] G0")
        dialog = await find(pilot)
        state = dialog.list.value
        assert state is not None
        await tap(pilot, "enter")
        await settle(pilot)
        screen = guest(pilot)
        assert screen.session.state == state
        view = screen.session.view()
        assert isinstance(view, HostParts)
        assert view.read_at(0, 4).hex(" ") in shown(pilot.app)
        assert f"residue {state.residue}" in shown(pilot.app)
        check_grid(pilot.app, (200, 60))
        copied = Copied(view.read_at(0, 16), screen.here, "demo.qcow2", "", None)
        assert f"--residue {state.residue}" in command_line(copied)
        await tap(pilot, "s")  # to the host byte
        await settle(pilot)
        assert inspector(pilot).here.offset == state.parts[0].start
        await go(pilot, f"@residue[{state.residue}] G0x1")
        assert guest(pilot).hex.at == 1


async def test_they_are_exported_like_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo, _, _ = write_demo(str(tmp_path))
    target = tmp_path / "residue.bin"
    async with playing(demo) as pilot:
        await find(pilot)
        await tap(pilot, "enter")
        await settle(pilot)
        state = inspector(pilot).session.state
        dialog = await open_export(pilot, target)
        assert dialog.state == state
        job = (await start(pilot)).job
        assert job.state is JobState.DONE, job.outcome
        assert job.order is not None
        words = job.order.command(inspector(pilot).session.chain)
        right = state.view(inspector(pilot).session.chain)
        assert target.read_bytes() == right.read_at(0, right.size)
    again = tmp_path / "again.bin"
    assert shlex.join(words[4:6]) == f"--residue {state.residue}"
    assert run([*(str(again) if word == str(target) else word for word in words[1:])]) == 0
    assert again.read_bytes() == target.read_bytes()


async def test_looking_for_them_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    def slow(_: object, progress: object) -> None:
        progress.begin("Inflating", 100)  # type: ignore[attr-defined]
        while True:
            progress.advance(0)  # type: ignore[attr-defined]
            time.sleep(0.005)

    monkeypatch.setattr("qcow2inspect.survey.deep.look_deep", slow)
    async with playing(memory_image()) as pilot:
        await tap(pilot, "S", "r")
        dialog = pilot.app.screen
        assert isinstance(dialog, StatesDialog)
        while "Inflating" not in dialog.found.text:
            await pilot.pause(0.005)
        await tap(pilot, "escape")
        await settle(pilot)
        assert "stopped" in dialog.found.text
        assert inspector(pilot).session.residues is None
        await tap(pilot, "escape")
        assert pilot.app.screen is not dialog
