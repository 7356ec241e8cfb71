"""F1: what is under the cursor, in the words of the command line and with the numbers of this image."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from textual.pilot import Pilot

from qcow2inspect.rules.explain import Explanation, explain
from qcow2inspect.tui.dialogs.explain import ExplainDialog, ExplainText
from qcow2inspect.tui.dialogs.help import HelpDialog
from tests.tui.stage import SIZES, check_grid, explore, go, inspector, memory_image, playing, settle, shown, tap
from tests.tui.test_walk import DAMAGED


async def told(pilot: Pilot[None]) -> str:
    """All that F1 says, without line ends."""
    await tap(pilot, "f1")
    await settle(pilot)
    assert isinstance(pilot.app.screen, ExplainDialog)
    lines = pilot.app.screen.query_one(ExplainText).lines
    return squeezed(" ".join("".join(text for text, _ in line) for line in lines))


def squeezed(text: str) -> str:
    return re.sub(r"[\s─]+", " ", text)


def says(told: str, texts: Iterable[Explanation]) -> bool:
    """True if all rows and paragraphs are there."""
    parts = [part for text in texts for part in (*(value for _, value in text.rows), *text.paragraphs)]
    return all(squeezed(part) in told for part in parts)


@pytest.mark.parametrize(
    ("address", "topic"),
    [("hdr.l1_size", "hdr.l1_size"), ("hdr.nb_snapshots", "nb_snapshots"), ("L1[0].L2[5]", "l2-entry")],
)
async def test_a_field_is_explained_as_the_command_line_does(address: str, topic: str) -> None:
    async with playing(memory_image()) as pilot:
        await go(pilot, address)
        text = await told(pilot)
        assert says(text, explain(topic))
        assert f"address {address}" in text


@pytest.mark.parametrize("address", ["hdr.l1_table_offset", "hdr.l1_size", "L1[0].L2[5]", "rt[0]"])
async def test_a_meaning_is_told_once(address: str) -> None:
    async with playing(memory_image()) as pilot:
        await go(pilot, address)
        place = inspector(pilot).session.place(address)
        assert place is not None
        assert place.node.doc
        assert (await told(pilot)).count(squeezed(f"{place.node.doc}.")) == 1


async def test_an_entry_comes_with_the_arithmetic_of_this_image() -> None:
    async with playing(memory_image()) as pilot:
        await go(pilot, "L1[0].L2[5]")
        text = await told(pilot)
        assert "L2 index offset ÷ 64 KiB mod 8,192 = 5" in text
        assert "host offset" in text


async def test_a_finding_is_explained_with_what_was_found() -> None:
    async with playing(memory_image(DAMAGED)) as pilot:
        await tap(pilot, "4", "down")
        await settle(pilot)
        finding = next(f for f in inspector(pilot).session.knowledge.findings if f.code == "QCOW-L1-RESERVED")
        text = await told(pilot)
        assert says(text, explain("QCOW-L1-RESERVED"))
        assert squeezed(finding.message) in text
        await tap(pilot, "escape", "1")
        await settle(pilot)
        assert says(await told(pilot), explain(inspector(pilot).session.knowledge.findings[0].code))


async def test_a_guest_byte_is_explained_by_the_entry_that_maps_it() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "5")
        await settle(pilot)
        text = await told(pilot)
        assert says(text, explain("l2-entry"))
        assert "address L1[0].L2[0]" in text


async def test_where_nothing_is_under_the_cursor_the_keys_are_told() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "7")
        await settle(pilot)
        await tap(pilot, "f1")
        await settle(pilot)
        assert isinstance(pilot.app.screen, HelpDialog)


@pytest.mark.parametrize("size", [*SIZES, (20, 6), (40, 12)])
async def test_it_can_be_read_and_left_at_any_size(size: tuple[int, int]) -> None:
    async with playing(memory_image(), size=size) as pilot:
        await tap(pilot, "2")
        await settle(pilot)
        await told(pilot)
        check_grid(pilot.app, size)
        if size in SIZES:
            assert "QFI" in shown(pilot.app)
        await tap(pilot, "pagedown", "f1")
        await settle(pilot)
        explore(pilot)
