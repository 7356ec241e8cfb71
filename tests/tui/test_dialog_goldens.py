"""What the dialogs of a session look like: at three sizes, with colours, and without them in ASCII."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from tests.tui.stage import COLOURED, PLAIN, SIZES, check_grid, compare_golden, go, memory_image, playing, settle, tap
from tests.tui.test_livesearch import found

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from qcow2inspect.tui.theme import Look

OPENED = {
    "goto": ("g", "L1[0].L2[5].data"),
    "help": ("question_mark", ""),
    "search": ("slash", "What was"),
    "copy": ("y", ""),
    "command": ("colon", "ex"),
    "note": ("plus", "consistent with the report"),
}
"""Name -> the key that opens it, and what is typed into it."""


async def open_dialog(pilot: Pilot[None], name: str) -> None:
    key, text = OPENED[name]
    await go(pilot, "hdr.l1_table_offset")
    await tap(pilot, key)
    if text:
        field = pilot.app.screen.query_one(Input)
        field.cursor_blink = False
        field.value = text
        field.cursor_position = len(text)
    await (found(pilot) if name == "search" else settle(pilot))


@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
@pytest.mark.parametrize("name", OPENED)
async def test_golden(name: str, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    for size in SIZES:
        async with playing(memory_image(), size=size, look=look) as pilot:
            await open_dialog(pilot, name)
            check_grid(pilot.app, size)
            await compare_golden(pilot, f"{name}-{size[0]}x{size[1]}{'-plain' if look is PLAIN else ''}")
