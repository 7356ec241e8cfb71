"""Search while one types: what is found is seen at once, Enter keeps it, Escape goes back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from qcow2inspect.build.demo import demo_recipe
from qcow2inspect.build.recipe import build
from qcow2inspect.image.view import HostFile
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.tui.dialogs import search
from qcow2inspect.tui.dialogs.search import SearchDialog
from tests.tui.stage import explore, guest, inspector, memory_image, playing, settle, shown, tap

if TYPE_CHECKING:
    from textual.pilot import Pilot

DEMO = build(demo_recipe())


async def ask(pilot: Pilot[None], screen: str, text: str = "") -> None:
    """The search dialog over a screen, with some text typed key by key."""
    await tap(pilot, screen)
    await settle(pilot)
    await tap(pilot, "slash")
    await write(pilot, text)


async def write(pilot: Pilot[None], text: str) -> None:
    for letter in text:
        pilot.app.screen.query_one(Input).insert_text_at_cursor(letter)
    await found(pilot)


async def found(pilot: Pilot[None]) -> None:
    """Wait until a search that was begun by typing has said something."""
    dialog = pilot.app.screen
    assert isinstance(dialog, SearchDialog)
    for _ in range(2):
        await settle(pilot)
        while dialog._pattern is not None and dialog._pattern.size > 1 and "\n" not in dialog.notes.text:
            await pilot.pause(0.02)


async def test_what_is_found_is_seen_while_one_types_and_enter_keeps_it() -> None:
    at = DEMO.index(b"What was here")
    async with playing(memory_image()) as pilot:
        await ask(pilot, "2", "What was")
        base = pilot.app.screen_stack[0]
        assert getattr(base, "hex").at == at  # noqa: B009 - the screen behind the dialog
        assert f"host {at:#x}" in shown(pilot.app)
        await tap(pilot, "enter")
        await settle(pilot)
        assert explore(pilot).hex.at == at
        assert explore(pilot).hex.marked == range(at, at + 8)
        await tap(pilot, "less_than_sign")
        await settle(pilot)
        assert explore(pilot).hex.at == 0


async def test_escape_goes_back_to_where_one_was() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "2", "down", "pagedown", "right")
        await settle(pilot)
        before = (explore(pilot).hex.at, explore(pilot).hex.top, explore(pilot).node)
        history = list(inspector(pilot).session.history._back)
        await ask(pilot, "2", "What was")
        assert "host 0x" in shown(pilot.app)
        await tap(pilot, "escape")
        await settle(pilot)
        assert (explore(pilot).hex.at, explore(pilot).hex.top, explore(pilot).node) == before
        assert not explore(pilot).hex.marked
        assert inspector(pilot).session.history._back == history
        assert inspector(pilot).session.pattern is None


async def test_longer_text_is_looked_for_from_the_first_place_again() -> None:
    async with playing(memory_image()) as pilot:
        await ask(pilot, "5", "page 1")
        first = getattr(pilot.app.screen_stack[0], "hex").at  # noqa: B009
        await write(pilot, "3")
        assert getattr(pilot.app.screen_stack[0], "hex").at > first  # noqa: B009
        pilot.app.screen.query_one(Input).value = "page 1"
        await found(pilot)
        assert getattr(pilot.app.screen_stack[0], "hex").at == first  # noqa: B009
        await tap(pilot, "down")
        await found(pilot)
        second = getattr(pilot.app.screen_stack[0], "hex").at  # noqa: B009
        assert second > first
        await tap(pilot, "up")
        await found(pilot)
        await tap(pilot, "enter", "n")
        await settle(pilot)
        assert guest(pilot).hex.at == second


@pytest.mark.parametrize(
    ("screen", "text", "words"),
    [
        ("2", "hex:51 46 4? fb", "51 46 4? fb"),
        ("2", "be32:0x514649fb", "host 0x0"),
        ("2", "be64:0x30000..0x4ffff", "host 0x"),
        ("2", "-> L1", "host 0x"),
        ("5", "re:pag[a-f] 1", "guest 0x"),
        ("5", "u16:nothing like it", "nowhere in the guest bytes"),
        ("2", "hex:5", "pairs of hexadecimal digits"),
        ("2", "re:x*", "how often at most"),
        ("2", "Q", "one byte is nearly everywhere"),
        ("5", "-> L1", "searches in Explore"),
    ],
)
async def test_every_kind_of_pattern(screen: str, text: str, words: str) -> None:
    async with playing(memory_image()) as pilot:
        await ask(pilot, screen, text)
        assert words in shown(pilot.app)


async def test_who_points_here_does_not_move_with_what_is_found() -> None:
    async with playing(memory_image()) as pilot:
        await ask(pilot, "2")
        await tap(pilot, "escape", "g")
        pilot.app.screen.query_one(Input).value = "L1"
        await settle(pilot)
        await tap(pilot, "enter")
        await settle(pilot)
        await tap(pilot, "slash")
        for _ in range(2):
            pilot.app.screen.query_one(Input).value = "->"
            await found(pilot)
            assert "hdr.l1_table_offset" in shown(pilot.app) or "host 0x28" in shown(pilot.app)
            pilot.app.screen.query_one(Input).value = ""
            await found(pilot)


class Slow(MemorySource):
    slow = threading.Event()

    def read_at(self, offset: int, size: int) -> bytes:
        if self.slow.is_set():
            threading.Event().wait(0.01)
        return super().read_at(offset, size)


@pytest.fixture
def slow() -> HostFile:
    source = Slow(DEMO + bytes(64 << 20), "slow.qcow2")
    source.slow = threading.Event()
    source.slow.set()
    return HostFile(source)


async def test_keys_are_taken_while_a_search_runs_and_a_new_one_ends_it(slow: HostFile) -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "2")
        await settle(pilot)
        explore(pilot).hex.view = slow
        await tap(pilot, "slash")
        dialog = pilot.app.screen
        assert isinstance(dialog, SearchDialog)
        for text in ("hex:de ad be ef 00 11 22", "hex:de ad be ef 00 11 33"):
            dialog.query_one(Input).value = text
            while dialog._progress is None:
                await pilot.pause(0.01)
        progress = dialog._progress
        await tap(pilot, "x")
        assert dialog.query_one(Input).value.endswith("33x")
        assert progress is not None
        assert progress.stopped
        await tap(pilot, "escape")
        assert pilot.app.screen is explore(pilot)
        await settle(pilot)


async def test_a_search_that_takes_long_gives_up_and_says_so(slow: HostFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_WHILE", 0.0)
    async with playing(memory_image()) as pilot:
        await tap(pilot, "2")
        await settle(pilot)
        explore(pilot).hex.view = slow
        await ask(pilot, "2", "hex:de ad be ef")
        assert "Enter searches to the end" in shown(pilot.app)
