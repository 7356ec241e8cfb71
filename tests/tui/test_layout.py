"""A screen is laid out for the terminal as it is the first time, not for another one and then again."""

from __future__ import annotations

import pytest
from textual.geometry import Size
from textual.widget import Widget

from tests.tui.stage import SIZES, memory_image, playing, settle, tap

KEYS = {"2": "explore", "3": "map", "4": "findings", "5": "guest", "g": "goto"}


@pytest.mark.parametrize("size", SIZES)
async def test_panes_of_a_new_screen_are_given_one_size(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[Widget, set[Size]] = {}
    update = Widget._size_updated

    def noting(widget: Widget, size: Size, virtual: Size, container: Size, layout: bool = True) -> bool:
        given.setdefault(widget, set()).add(size)
        return update(widget, size, virtual, container, layout)

    async with playing(memory_image(), size=size) as pilot:
        monkeypatch.setattr(Widget, "_size_updated", noting)
        for key, screen in KEYS.items():
            given.clear()
            await tap(pilot, key)
            await settle(pilot)
            panes = {type(widget).__name__: sizes for widget, sizes in given.items() if widget.id and widget.parent}
            assert panes, screen
            assert {name: sizes for name, sizes in panes.items() if len(sizes) > 1} == {}, screen
