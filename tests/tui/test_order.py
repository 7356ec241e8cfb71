"""Keys act in the order in which they were typed, however fast: also those for a screen that is not there yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual import events
from textual.keys import key_to_character
from textual.widgets import Input

from tests.tui.stage import explore, guest, inspector, memory_image, playing, settle, tap
from tests.tui.terminal import running
from tests.tui.test_program import image_at

if TYPE_CHECKING:
    from textual.pilot import Pilot


async def burst(pilot: Pilot[None], *keys: str) -> None:
    """All keys at once, as a paste or a slow machine delivers them."""
    for key in keys:
        pilot.app.post_message(events.Key(key, key_to_character(key)))
    await settle(pilot)


async def test_a_mode_key_and_keys_for_the_new_screen() -> None:
    async with playing(memory_image()) as pilot:
        await burst(pilot, "2", "right", "down")
        assert explore(pilot).hex.at == 17


async def test_a_key_that_waits_for_a_letter_does_so_on_the_new_screen() -> None:
    async with playing(memory_image()) as pilot:
        await burst(pilot, "2", "5", "right", "m", "a")
        mark = inspector(pilot).session.marks["a"]
        assert (mark.mode, int(mark.guest or 0)) == ("guest", 1)


async def test_the_way_through_screens_and_back() -> None:
    async with playing(memory_image()) as pilot:
        back = "less_than_sign"
        await burst(pilot, "2", "down", "5", "right", "m", "b", back, "m", "a", "3", back, "right")
        session = inspector(pilot).session
        assert session.marks["b"].mode == "guest"
        assert (session.marks["a"].mode, int(session.marks["a"].offset)) == ("explore", 16)
        assert explore(pilot).hex.at == 17


async def test_a_jump_that_a_key_asks_for_is_done_before_the_next_key() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "2")
        await settle(pilot)
        await burst(pilot, "g", *"L1[0].L2[0]", "enter", "s", "right")
        assert guest(pilot).hex.at == 1


async def test_what_is_typed_into_a_dialog_that_opens_is_not_lost() -> None:
    async with playing(memory_image()) as pilot:
        await burst(pilot, "2", "g", *"0x1")
        assert pilot.app.screen.query_one(Input).value == "0x1"
        await burst(pilot, "0", "enter", "right")
        assert explore(pilot).hex.at == 0x11


@pytest.mark.parametrize("keys", ["2jg0x20\rl5jm", "52jl5g0x10\rsm"])
def test_the_program_takes_all_keys_of_one_read(keys: str, tmp_path: Path) -> None:
    with running(image_at(tmp_path), cwd=tmp_path) as program:
        program.see("What is special")
        program.press(keys + "a")
        program.see("mark a set")
        program.tap("q")
        assert program.end() == 0
        assert "Traceback" not in program.text
