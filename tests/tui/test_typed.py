"""Typed commands: names out of the one table, with what they take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from qcow2inspect.build.demo import write_demo
from qcow2inspect.tui.commands import COMMANDS
from qcow2inspect.tui.dialogs.command import CommandDialog
from qcow2inspect.tui.dialogs.export import ExportDialog
from qcow2inspect.tui.dialogs.goto import GotoDialog
from qcow2inspect.tui.dialogs.write import WriteDialog
from qcow2inspect.tui.glyphs import Glyphs
from qcow2inspect.tui.theme import Colors, Look
from qcow2inspect.tui.typed import TAKES, name_of
from tests.tui.stage import explore, guest, inspector, memory_image, playing, settle, shown, tap
from tests.tui.test_order import burst

if TYPE_CHECKING:
    from textual.pilot import Pilot

SCREENS = [command.keys[0] for command in COMMANDS if command.action.startswith("mode(")]


async def line(pilot: Pilot[None], text: str, *, enter: bool = True) -> None:
    """Type a command."""
    await tap(pilot, "colon")
    pilot.app.screen.query_one(Input).value = text
    await settle(pilot)
    if enter:
        await tap(pilot, "enter")
        await settle(pilot)


async def test_it_offers_what_the_palette_offers_under_names_that_are_clear() -> None:
    async with playing(memory_image()) as pilot:
        for key in SCREENS:
            await tap(pilot, key)
            await settle(pilot)
            app, screen = inspector(pilot), pilot.app.screen
            offered = app.offered(screen)
            titles = {command.title for command in app.get_system_commands(screen)}
            assert {command.in_full for command in offered} == titles
            names = [name_of(command) for command in offered]
            assert sorted(set(names)) == sorted(names), key


def test_everything_that_takes_something_is_a_command() -> None:
    assert TAKES.keys() <= {name_of(command) for command in COMMANDS}


async def test_goto_in_one_burst_of_keys() -> None:
    async with playing(memory_image()) as pilot:
        await burst(pilot, "colon", *"goto L1[0].L2[5]", "enter", "s", "right")
        assert guest(pilot).hex.at == 0x50001


async def test_commands_with_what_they_take() -> None:
    async with playing(memory_image(), look=Look(Colors.TRUE, Glyphs())) as pilot:
        await line(pilot, "goto hdr.l1_size")
        assert getattr(explore(pilot).node, "path", "") == "hdr.l1_size"
        await line(pilot, "mark z")
        await line(pilot, "note how many entries")
        assert [note.text for note in inspector(pilot).session.notes.values()] == ["how many entries"]
        await line(pilot, "search What was here")
        assert explore(pilot).hex.marked
        await line(pilot, "to_mark z")
        assert getattr(explore(pilot).node, "path", "") == "hdr.l1_size"
        await line(pilot, "theme light")
        assert inspector(pilot).look.palette.name == "light"
        await line(pilot, "states snap[0]")
        assert guest(pilot).session.state.kind == "snapshot"


async def test_files_are_asked_about_before_they_are_written(tmp_path: Path) -> None:
    demo, _, _ = write_demo(str(tmp_path))
    async with playing(demo) as pilot:
        await line(pilot, f"export {tmp_path}/out.raw")
        assert isinstance(pilot.app.screen, ExportDialog)
        assert pilot.app.screen.target == f"{tmp_path}/out.raw"
        await tap(pilot, "escape", "2")
        await settle(pilot)
        await line(pilot, f"write {tmp_path}/out.bin")
        assert isinstance(pilot.app.screen, WriteDialog)
        assert pilot.app.screen.order.target == f"{tmp_path}/out.bin"
    assert not (tmp_path / "out.raw").exists()


async def test_without_what_it_takes_a_command_asks() -> None:
    async with playing(memory_image()) as pilot:
        await line(pilot, "goto")
        assert isinstance(pilot.app.screen, GotoDialog)
        await tap(pilot, "escape")
        await line(pilot, "explo")
        explore(pilot)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("exprot out.raw", "did you mean export?"),
        ("xyzzy", "Tab lists all commands"),
        ("e", "“e” may be"),
        ("overview now", "overview takes nothing more"),
        ("goto nonsense", "is no address"),
        ("theme pink", "there are dark, light"),
        ("mark ab", "a mark is one letter"),
        ("search hex:5", "pairs of hexadecimal digits"),
        ("filter words", "there is no command “filter” here"),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_is_done(text: str, words: str) -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "2")
        await settle(pilot)
        await line(pilot, text)
        assert isinstance(pilot.app.screen, CommandDialog)
        assert words in " ".join(shown(pilot.app).replace("┃", " ").split())
        await tap(pilot, "escape")
        explore(pilot)


async def test_tab_completes_names_and_what_they_take(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    async with playing(memory_image()) as pilot:
        for typed, completed in (
            ("go", "goto "),
            ("goto hdr.l1_s", "goto hdr.l1_size"),
            ("theme l", "theme light"),
            ("states sn", "states snap[0] "),
            (f"export {tmp_path}/ev", f"export {tmp_path}/evidence/"),
        ):
            await line(pilot, typed, enter=False)
            await tap(pilot, "tab")
            await settle(pilot)
            assert pilot.app.screen.query_one(Input).value == completed
            await tap(pilot, "escape")
        await line(pilot, "exp", enter=False)
        await tap(pilot, "tab")
        await settle(pilot)
        assert "explore" in shown(pilot.app)
        assert "export" in shown(pilot.app)
