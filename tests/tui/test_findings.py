"""The Findings screen: a few groups that are all in sight, what they hold, and how far the damage reaches."""

from __future__ import annotations

import re
from typing import cast

import pytest
from textual.pilot import Pilot

from qcow2inspect.export.damage import find_damage
from qcow2inspect.rules import examine
from qcow2inspect.rules.causes import MOST, causes
from qcow2inspect.survey.survey import take_survey
from qcow2inspect.tui.screens.findings import FindingsScreen
from qcow2inspect.tui.theme import Look
from qcow2inspect.units import human_size
from tests.rules.incidents import DoubleAllocation, double_allocation
from tests.rules.test_incidents import CASES
from tests.tui.stage import (
    COLOURED,
    PLAIN,
    SIZES,
    check_grid,
    compare_golden,
    explore,
    grid,
    inspector,
    memory_image,
    playing,
    settle,
    shown,
    tap,
)
from tests.tui.test_walk import DAMAGED

CLAIMED = DoubleAllocation(claimed=True).image()


async def findings(pilot: Pilot[None]) -> FindingsScreen:
    await tap(pilot, "4")
    await settle(pilot)
    return cast("FindingsScreen", pilot.app.screen)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("look", [COLOURED, PLAIN])
async def test_golden_tables_overwritten_by_two_intruders(size: tuple[int, int], look: Look) -> None:
    """134 of 200 L2 tables hold something else: a few groups on one small screen, and what was written is named."""
    plain = "-plain" if look is PLAIN else ""
    async with playing(memory_image(double_allocation(), "vm.qcow2"), size=size, look=look) as pilot:
        await findings(pilot)
        check_grid(pilot.app, size)
        await compare_golden(pilot, f"findings-overwritten-{size[0]}x{size[1]}{plain}")


@pytest.mark.parametrize("case", CASES)
async def test_all_groups_are_in_sight_on_a_small_screen(case: str) -> None:
    """At most six groups, each on two rows, with what did it and what it costs; below, the one under the cursor."""
    image = memory_image(CASES[case].image(), "vm.qcow2")
    survey = take_survey(image)
    groups, damage = causes(examine(survey)), find_damage(image.active_disk(), survey)
    async with playing(image, size=(80, 24)) as pilot:
        screen = await findings(pilot)
        rows = grid(pilot.app)
        text = "\n".join(rows)
        assert len(groups) <= MOST
        for group in groups:
            name = group.title or group.findings[0].code
            assert [row for row in rows if f"{group.severity} {name}" in row], name
        assert "overwritten by refcount block content" in text
        assert "overwritten by other data, as a guest writes it" in text
        assert screen.list.row_count <= screen.list.height
        assert inspector(pilot).session.damage == damage
        for word, size in (("lost", damage.lost_bytes), ("suspect", damage.suspect_bytes)):
            assert (f" {word} {human_size(size)} " in text) == bool(size)  # what does not occur takes no room
        assert re.search(rf" {len(damage.marked):,} ranges?\b", text)
        assert groups[0].findings[0].code in rows[rows.index(next(row for row in rows if " Finding " in row)) + 1]


async def test_the_bar_shows_where_on_the_disk_the_damage_lies() -> None:
    case = DoubleAllocation(tables=64, blocks=1, guest=0)
    image = memory_image(case.image(), "vm.qcow2")
    damage = find_damage(image.active_disk(), take_survey(image))
    async with playing(image, size=(80, 24)) as pilot:
        await findings(pilot)
        bar = grid(pilot.app)[2][1:-1]
        first = next(part for part in damage.lost if part.size > 512)
        cells = {at * len(bar) // damage.size for part in damage.marked for at in range(part.start, part.end, 512)}
        assert bar[int(first.start) * len(bar) // damage.size] == "✗"
        assert {cell for cell, sign in enumerate(bar) if sign != "━"} == cells


async def test_a_group_opens_into_its_findings_and_they_into_their_evidence() -> None:
    async with playing(memory_image(CLAIMED), size=(80, 24)) as pilot:
        screen = await findings(pilot)
        await tap(pilot, "down", "down")
        cause = screen.list.cause
        assert cause is not None
        assert cause.title == "clusters with several owners"
        assert cause.why[:40] in shown(pilot.app)
        assert "QCOW-L2-INTO-META" not in shown(pilot.app).partition("Group of findings")[0]
        await tap(pilot, "right", "down")
        await settle(pilot)
        assert screen.list.finding is cause.findings[0]
        rows = screen.list.row_count
        await tap(pilot, "right", "down")
        await settle(pilot)
        assert screen.list.row_count > rows
        place = cause.findings[0].evidence[0].where.start
        await tap(pilot, "enter")
        await settle(pilot)
        assert explore(pilot).hex.at == place
        await tap(pilot, "less_than_sign")
        await settle(pilot)
        await tap(pilot, "left", "left")
        await settle(pilot)
        assert screen.list.cause is cause
        await tap(pilot, "left", "enter")
        await settle(pilot)
        assert explore(pilot).hex.at == place


async def test_a_sound_image_shows_no_blast_radius() -> None:
    async with playing(memory_image(), size=(80, 24)) as pilot:
        screen = await findings(pilot)
        assert not screen.radius.display
        assert inspector(pilot).session.damage is None


async def test_what_cannot_be_found_out_is_said() -> None:
    async with playing(memory_image(DAMAGED), size=(80, 24)) as pilot:
        screen = await findings(pilot)
        screen.radius.show(None, "the disk cannot be read")
        await settle(pilot)
        assert "the disk cannot be read" in shown(pilot.app)


@pytest.mark.parametrize("size", [(20, 6), (40, 12), (60, 24), (79, 33), (116, 16), (300, 100)])
async def test_any_size(size: tuple[int, int]) -> None:
    """Nothing breaks, whatever is open and whatever the size changes to."""
    async with playing(memory_image(CLAIMED), size=size) as pilot:
        await findings(pilot)
        check_grid(pilot.app, size)
        await tap(pilot, "down", "down", "right", "down", "right", "end")
        await settle(pilot)
        check_grid(pilot.app, size)
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        check_grid(pilot.app, (80, 24))
