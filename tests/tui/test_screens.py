"""What the screens look like, at every size and on every terminal."""

from __future__ import annotations

import pytest

from qcow2inspect.build.demo import damaged_recipe, encrypted_recipe
from qcow2inspect.build.recipe import build
from qcow2inspect.tui.commands import COMMANDS, key_shown, of_scopes
from qcow2inspect.tui.dialogs.help import HelpDialog
from qcow2inspect.tui.dialogs.search import SearchDialog
from qcow2inspect.tui.glyphs import Glyphs
from qcow2inspect.tui.theme import Colors, Ground, Look, themes
from qcow2inspect.tui.widgets.findings import FindingsList
from tests.tui.stage import (
    COLOURED,
    PLAIN,
    SIZES,
    check_grid,
    compare_golden,
    explore,
    memory_image,
    playing,
    segments,
    settle,
    shown,
    tap,
    type_text,
)

_ODD_SIZES = [(20, 6), (30, 10), (40, 12), (59, 16), (60, 24), (79, 33), (100, 30), (116, 16), (176, 20), (300, 100)]
_DEEP = "L1[0].L2[130]"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
async def test_golden_overview(size: tuple[int, int], look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    async with playing(memory_image(), size=size, look=look) as pilot:
        check_grid(pilot.app, size)
        await compare_golden(pilot, f"overview-{size[0]}x{size[1]}{'-plain' if look is PLAIN else ''}")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
async def test_golden_explore(size: tuple[int, int], look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    async with playing(memory_image(), size=size, look=look) as pilot:
        await tap(pilot, "g")
        await type_text(pilot, _DEEP)
        await tap(pilot, "enter")
        await settle(pilot)
        check_grid(pilot.app, size)
        await compare_golden(pilot, f"explore-{size[0]}x{size[1]}{'-plain' if look is PLAIN else ''}")


async def test_golden_of_a_damaged_image() -> None:
    async with playing(memory_image(build(damaged_recipe())), size=(120, 40)) as pilot:
        await compare_golden(pilot, "overview-damaged-120x40")


async def test_golden_of_a_small_tree() -> None:
    async with playing(memory_image(), size=(80, 24)) as pilot:
        await tap(pilot, "2", "t")
        await settle(pilot)
        await tap(pilot, "end")
        await settle(pilot)
        check_grid(pilot.app, (80, 24))
        await compare_golden(pilot, "explore-tree-80x24")


@pytest.mark.parametrize("size", _ODD_SIZES)
async def test_every_size_works(size: tuple[int, int]) -> None:
    async with playing(memory_image(), size=size) as pilot:
        check_grid(pilot.app, size)
        await tap(pilot, "2")
        await settle(pilot)
        for key in ("tab", "down", "right", "tab", "down", "tab", "down", "t", "end", "t", "pagedown"):
            await tap(pilot, key)
            await pilot.pause(0)
            check_grid(pilot.app, size)
        for key in ("question_mark", "g", "e", "r"):
            await tap(pilot, key)
            await settle(pilot)
            check_grid(pilot.app, size)
            await tap(pilot, "escape")
            await pilot.pause(0)


async def test_sizes_change_while_it_runs() -> None:
    async with playing(memory_image(), size=(200, 60)) as pilot:
        await tap(pilot, "2")
        await settle(pilot)
        await tap(pilot, "pagedown")
        where = explore(pilot).hex.at
        for size in ((80, 24), (40, 12), (120, 40), (20, 6), (200, 60)):
            await pilot.resize_terminal(*size)
            await settle(pilot)
            check_grid(pilot.app, size)
            assert explore(pilot).hex.at == where
            assert explore(pilot).focused is explore(pilot).hex


# -- nothing by colour alone -----------------------------------------------------------------------------------------


async def test_special_things_have_word_and_glyph() -> None:
    async with playing(memory_image(), size=(120, 40)) as pilot:
        text = shown(pilot.app)
        assert "▒ compressed" in text
        assert "○ zero-plain" in text
        assert "◌ zero-alloc" in text
        assert "█ normal" in text
        assert "· unallocated" in text
        assert "corrupt     ✓" in text
        await tap(pilot, "g")
        await type_text(pilot, "L1[0].L2[0]")
        await tap(pilot, "enter")
        await settle(pilot)
        assert "◈ 2, shared" in shown(pilot.app)


async def test_damage_and_encryption_have_word_and_glyph() -> None:
    async with playing(memory_image(build(damaged_recipe())), size=(120, 70)) as pilot:
        text = shown(pilot.app)
        assert "✗ DAMAGED" in text
        assert "corrupt     ✗" in text
        await tap(pilot, "g")
        await type_text(pilot, "L1[0].L2[40]")
        await tap(pilot, "enter")
        await settle(pilot)
        assert "✗ invalid" in shown(pilot.app)
    async with playing(memory_image(build(encrypted_recipe())), size=(120, 70)) as pilot:
        assert "encrypted   ▓" in shown(pilot.app)


@pytest.mark.parametrize("colors", Colors)
@pytest.mark.parametrize("ground", Ground)
def test_styles_are_never_empty(colors: Colors, ground: Ground) -> None:
    look = Look(colors, Glyphs())
    for role in ("text", "no such role", "l2", "compressed", "invalid", "yes"):
        for shade in (None, 0, 1, 2, 3):
            style = look.style(role, ground, shade)
            assert style.color is not None
            assert style.bgcolor is not None
            if colors is Colors.NONE:
                assert style.color.is_default
                assert style.bgcolor.is_default
            assert look.on(style, Ground.SELECTED).bgcolor is not None


def test_each_kind_of_terminal_has_a_theme() -> None:
    assert set(themes()) == set(Colors)


@pytest.mark.parametrize(
    ("environment", "colors"),
    [
        ({"NO_COLOR": "1", "COLORTERM": "truecolor"}, Colors.NONE),
        ({"TERM": "xterm-256color"}, Colors.TRUE),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, Colors.TRUE),
        ({"TERM": "linux"}, Colors.ANSI),
        ({"TERM": "xterm"}, Colors.ANSI),
    ],
)
def test_the_terminal_says_what_it_can(
    environment: dict[str, str], colors: Colors, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "COLORTERM", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Colors.of_terminal() is colors


async def test_plain_screens_are_ascii_and_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with playing(memory_image(build(damaged_recipe())), size=(120, 40), look=PLAIN) as pilot:
        for keys in ((), ("2",), ("tab",), ("g",), ("escape", "e"), ("escape", "question_mark")):
            for key in keys:
                await tap(pilot, key)
            await settle(pilot)
            assert shown(pilot.app).isascii(), [row for row in shown(pilot.app).split("\n") if not row.isascii()]
            for row in segments(pilot.app):
                for segment in row:
                    for color in (segment.style.color, segment.style.bgcolor) if segment.style else ():
                        assert color is None or color.is_default


# -- commands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scopes",
    [
        ("app", "overview", "findings"),
        ("app", "explore", "hex"),
        ("app", "explore", "tree"),
        ("app", "explore", "list"),
        ("app", "guest", "hex"),
        ("app", "map", "grid"),
        ("app", "finding-list", "findings"),
    ],
)
def test_no_two_commands_share_a_key(scopes: tuple[str, ...]) -> None:
    keys = [key for command in of_scopes(*scopes) for key in command.keys]
    assert len(keys) == len(set(keys))


def test_lists_give_way_to_what_lies_in_them() -> None:
    """Keys of a pane may replace those of the list it is made of, and no others."""
    base = {key for command in of_scopes("list") for key in command.keys}
    outer = {key for command in of_scopes("app", "overview", "explore", "guest", "map") for key in command.keys}
    assert not base & outer


async def test_every_command_can_be_done() -> None:
    async with playing(memory_image()) as pilot:
        overview = pilot.app.screen
        await tap(pilot, "2")
        await settle(pilot)
        screen = explore(pilot)
        modes = {}
        for key, scope in (("3", "map"), ("4", "finding-list"), ("5", "guest"), ("6", "compare"), ("7", "log")):
            await tap(pilot, key)
            await settle(pilot)
            modes[scope] = pilot.app.screen
        owners = {
            **modes,
            "grid": modes["map"].query_one("#grid"),
            "app": pilot.app,
            "overview": overview,
            "explore": screen,
            "hex": screen.hex,
            "tree": screen.tree_pane,
            "list": screen.inspector,
            "findings": overview.query_one(FindingsList),
            "dialog": SearchDialog,
            "typing": SearchDialog,
        }
        for command in COMMANDS:
            scope, _, action = command.action.partition("(")[0].rpartition(".")
            assert hasattr(owners[scope or command.scope], f"action_{action}"), command.id
            assert command.title
            assert command.help


async def test_help_shows_every_command() -> None:
    async with playing(memory_image(), size=(120, 200)) as pilot:
        await tap(pilot, "question_mark")
        await settle(pilot)
        assert isinstance(pilot.app.screen, HelpDialog)
        text = " ".join(shown(pilot.app).split())
        for command in COMMANDS:
            assert " ".join(command.help.split()[:4]) in text, command.id
            assert key_shown(command.keys[0]) in text
        await tap(pilot, "escape")
        await pilot.pause(0)
        assert not isinstance(pilot.app.screen, HelpDialog)


async def test_the_palette_offers_the_same_commands() -> None:
    async with playing(memory_image()) as pilot:
        screen = pilot.app.screen
        offered = {command.title for command in pilot.app.get_system_commands(screen)}
        assert {"Goto", "Export", "Report", "Explore", "Help", "Quit"} <= offered
        await tap(pilot, "ctrl+p")
        await pilot.pause(0)
        assert type(pilot.app.screen).__name__ == "CommandPalette"
        await tap(pilot, *"explore")
        await pilot.pause(0.8)
        await tap(pilot, "enter", "enter")
        await settle(pilot)
        explore(pilot)


@pytest.mark.parametrize("width", [20, 80, 120, 200])
async def test_the_key_bar_offers_what_works_here(width: int) -> None:
    async with playing(memory_image(), size=(width, 30)) as pilot:
        await tap(pilot, "2")
        await settle(pilot)
        screen = explore(pilot)
        offered = screen.keys.fitting(width)
        ids = {command.id for command in offered}
        assert "help" in ids
        if width >= 80:
            assert {"follow", "goto", "back", "quit"} <= ids
        assert all(command.scope in ("app", "explore", "hex") for command in offered)


async def test_a_click_on_a_key_does_what_the_key_does() -> None:
    async with playing(memory_image(), size=(120, 40)) as pilot:
        row = shown(pilot.app).split("\n")[-1]
        await pilot.click(offset=(row.index("? help") + 3, 39))
        await pilot.pause(0)
        assert isinstance(pilot.app.screen, HelpDialog)
