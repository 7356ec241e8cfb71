"""What makes the screen quick: rules are read once, and one key changes all panes before anything is painted."""

from __future__ import annotations

import pytest
from textual.css.stylesheet import Stylesheet

from qcow2inspect.tui.sheet import Sheet
from tests.tui.stage import explore, guest, inspector, memory_image, playing, tap


def count_reparses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that all rules are read again."""
    calls: list[int] = []
    whole = Stylesheet.reparse

    def counted(self: Stylesheet) -> None:
        calls.append(1)
        whole(self)

    monkeypatch.setattr(Stylesheet, "reparse", counted)
    return calls


def test_rules_are_read_again_only_for_other_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_reparses(monkeypatch)
    sheet = Sheet(variables={"good": "green"})
    sheet.add_source("Label { color: $good; }", read_from=("here", ""))
    sheet.set_variables({"good": "green"})
    sheet.reparse()
    assert not calls
    assert "#008000" in sheet.css.lower()
    sheet.set_variables({"good": "blue"})
    sheet.reparse()
    sheet.reparse()
    assert len(calls) == 1
    assert "#0000ff" in sheet.css.lower()


async def test_start_reads_the_rules_once_and_a_theme_reads_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_reparses(monkeypatch)
    async with playing(memory_image()) as pilot:
        assert not calls
        before = pilot.app.screen.styles.background
        await tap(pilot, "T")
        assert len(calls) == 1
        assert pilot.app.screen.styles.background != before


async def test_a_move_in_the_bytes_is_known_to_all_panes_at_once() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "2")
        screen = explore(pilot)
        screen.hex.go(24)
        assert screen.node is not None
        assert screen.node.path == "hdr.size"
        assert screen.tree_pane.node.path == "hdr.size"


async def test_a_move_in_the_tree_is_known_to_the_bytes_at_once() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "2")
        screen = explore(pilot)
        screen.tree_pane.move_to(0)
        screen.hex.go(100)
        screen.tree_pane.move_to(screen.tree_pane.cursor + 1)
        assert screen.hex.host == screen.tree_pane.node.where.start


async def test_a_move_in_the_guest_bytes_is_told_at_once() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "5")
        guest(pilot).hex.go(0x123)
        assert inspector(pilot).here.guest == 0x123
