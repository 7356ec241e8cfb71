"""The one table of commands: no two keys collide, and whatever can be done, key, mouse and palette can do."""

from __future__ import annotations

from collections import Counter
from typing import cast

import pytest
from textual.binding import Binding
from textual.widgets import Input

from qcow2inspect.tui.commands import COMMANDS, Command, key_shown
from qcow2inspect.tui.dialogs.help import HelpDialog, HelpText
from qcow2inspect.tui.dialogs.search import SearchDialog
from qcow2inspect.tui.screens.base import BaseScreen
from qcow2inspect.tui.screens.overview import OverviewScreen
from tests.tui.stage import explore, inspector, memory_image, playing, settle, tap, type_text

if False:  # pragma: no cover - for the type checker only
    from textual.pilot import Pilot

_MOVES = {"Move"}
_SCREEN_KEYS = [command.keys[0] for command in COMMANDS if command.action.startswith("mode(")]


def test_no_two_commands_have_the_same_id() -> None:
    assert [name for name, count in Counter(command.id for command in COMMANDS).items() if count > 1] == []


def test_no_two_keys_of_a_scope_collide() -> None:
    keys = Counter((command.scope, key) for command in COMMANDS for key in command.keys)
    assert [where for where, count in keys.items() if count > 1] == []


async def front(pilot: Pilot[None], key: str) -> BaseScreen:
    await tap(pilot, key)
    await settle(pilot)
    return cast("BaseScreen", pilot.app.screen)


@pytest.mark.parametrize("key", _SCREEN_KEYS)
async def test_no_key_means_two_things_where_the_focus_is(key: str) -> None:
    """A pane may take over a key of ``list``, whose movement it does its own way; all else must be unambiguous."""
    async with playing(memory_image()) as pilot:
        screen = await front(pilot, key)
        for pane in screen.focus_chain:
            chain = [node for node in pane.ancestors_with_self if node is not pilot.app]
            scopes = dict.fromkeys(command.scope for node in (*chain, pilot.app) for command in bound(node))
            found = Counter(
                key for scope in scopes if scope != "list" for c in COMMANDS if c.scope == scope for key in c.keys
            )
            assert [key for key, count in found.items() if count > 1] == [], (screen.SCOPE, pane)


def bound(node: object) -> list[Command]:
    own = {command.id for cls in type(node).__mro__ for command in bound_by(cls)}
    return [command for command in COMMANDS if command.id in own]


def bound_by(cls: type) -> list[Command]:
    own = {binding.id for binding in vars(cls).get("BINDINGS", ()) if isinstance(binding, Binding)}
    return [command for command in COMMANDS if command.id in own]


async def test_every_command_has_a_key_a_click_and_a_place_in_the_palette() -> None:
    by_key, by_name = set(), set()
    async with playing(memory_image(), size=(120, 40)) as pilot:
        for key in _SCREEN_KEYS:
            screen = await front(pilot, key)
            app = inspector(pilot)
            nodes = [app, screen, *screen.walk_children()]
            by_key |= {command.id for node in nodes for command in bound(node)}
            offered = Counter(command.title for command in app.get_system_commands(screen))
            assert [title for title, count in offered.items() if count > 1] == [], key
            titles = set(offered)
            by_name |= {c.id for c in COMMANDS if c.in_full in titles and app.target_of(c, screen) is not None}
        await tap(pilot, "question_mark")
        await settle(pilot)
        pane = pilot.app.screen.query_one(HelpText)
        by_click = {command.id for command in pane._at_row if command is not None}
        by_key |= {command.id for cls in SearchDialog.__mro__ for command in bound_by(cls)}
    everything = {command.id for command in COMMANDS}
    assert everything - by_key == set()
    assert everything - by_click == set()
    assert {c.id for c in COMMANDS if c.group not in _MOVES and c.id != "palette"} - by_name == set()


async def test_a_click_in_the_help_does_the_command() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "question_mark")
        await settle(pilot)
        pane = pilot.app.screen.query_one(HelpText)
        row = next(row for row, command in enumerate(pane._at_row) if command and command.id == "explore")
        pane.scroll_top(row)
        await settle(pilot)
        await pilot.click(HelpText, offset=(5, row - pane.top))
        await settle(pilot)
        explore(pilot)


async def test_words_find_a_command_and_enter_does_it() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "question_mark")
        await settle(pilot)
        assert isinstance(pilot.app.screen, HelpDialog)
        await type_text(pilot, "structure tree back bytes")
        await tap(pilot, "enter")
        await settle(pilot)
        assert isinstance(pilot.app.screen, OverviewScreen)  # a command of Explore: nobody does it here
        await tap(pilot, "2", "question_mark")
        await settle(pilot)
        await type_text(pilot, "structure tree back bytes")
        await tap(pilot, "enter")
        await settle(pilot)
        assert explore(pilot).focused is explore(pilot).tree_pane


async def test_movements_can_be_done_by_name_too() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "2")
        await settle(pilot)
        for command in COMMANDS:
            if command.id == "hex.last":
                inspector(pilot).run_command(command)
        await settle(pilot)
        assert explore(pilot).hex.at == explore(pilot).hex.byte_count - 1


def test_every_key_can_be_written() -> None:
    for command in COMMANDS:
        for key in command.keys:
            assert "_" not in key_shown(key), key


async def test_the_help_can_be_read_with_the_keyboard() -> None:
    async with playing(memory_image(), size=(80, 24)) as pilot:
        await tap(pilot, "question_mark")
        await settle(pilot)
        pane = pilot.app.screen.query_one(HelpText)
        await tap(pilot, "pagedown")
        assert pane.top > 0
        await tap(pilot, "up")
        assert pane.top == 0
        assert pilot.app.screen.query_one(Input).has_focus
