"""The strip beside the bytes: the worst of each part, the part in sight marked, a click and a key go there."""

from __future__ import annotations

import numpy as np
import pytest

from qcow2inspect.build.demo import damaged_recipe
from qcow2inspect.build.recipe import Data, Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.tui.clustermap import ClusterMap, Mapped, Owner
from qcow2inspect.tui.glyphs import Glyphs
from qcow2inspect.tui.location import ACTIVE
from qcow2inspect.tui.nibbles import Nibbles
from qcow2inspect.tui.strip import PARTS, Strip, strip_of
from qcow2inspect.tui.theme import Colors, Ground, Look
from qcow2inspect.tui.widgets import mapstrip
from qcow2inspect.tui.widgets.bytespane import BytesPane
from tests.tui.stage import (
    COLOURED,
    PLAIN,
    check_grid,
    explore,
    go,
    grid,
    guest,
    inspector,
    memory_image,
    playing,
    segments,
    settle,
    shown,
    tap,
)

if False:  # pragma: no cover - for the type checker only
    from rich.segment import Segment
    from textual.pilot import Pilot


async def placed(pilot: Pilot[None], pane: BytesPane) -> None:
    """Wait until a pane has its place on the screen: the first layout knows nothing of the terminal's size."""
    for _ in range(1000):
        if pane.region and pilot.app.screen.region.contains_region(pane.region):
            return
        await pilot.pause(0.01)
    raise AssertionError("the pane has no place")


async def made(pilot: Pilot[None], pane: BytesPane) -> None:
    """Wait until a pane has its place and its strip, which comes some time after the tables were read."""
    await placed(pilot, pane)
    for _ in range(1000):
        if pane.strip is not None:
            return
        await pilot.pause(0.01)
    raise AssertionError("there is no strip")


def marks(pilot: Pilot[None], pane: BytesPane) -> list[str]:
    """The characters of the column at the right end of the bytes."""
    region = pane.content_region
    return [row[region.right - 1] for row in grid(pilot.app)[region.y : region.bottom]]


def column(pilot: Pilot[None], pane: BytesPane) -> list[Segment]:
    """The same with their styles."""
    region = pane.content_region
    found = []
    for row in segments(pilot.app)[region.y : region.bottom]:
        at = 0
        for segment in row:
            if at <= region.right - 1 < at + segment.cell_length:
                found.append(segment)
            at += segment.cell_length
    return found


# -- what is summed up -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clusters", [1, 5, 71, PARTS, PARTS + 1, 200_000])
@pytest.mark.parametrize("cells", [1, 3, 22, 120, 500])
def test_cells_are_the_worst_of_their_bytes(clusters: int, cells: int) -> None:
    owners = np.random.default_rng(clusters).integers(0, len(Owner), clusters).astype(np.uint8)
    size = clusters * 512 - 100
    made = ClusterMap(Nibbles.of(owners), 512, 1, size)
    strip = strip_of(made, ())
    assert strip is not None
    assert len(strip.worst) <= PARTS
    for cell in range(cells):
        start, end = -(-size * cell // cells), -(-size * (cell + 1) // cells)
        if start >= end:
            continue
        role, place = strip.role(cell, cells), strip.place(cell, cells)
        inside = owners[start // 512 : (end - 1) // 512 + 1]
        assert place * cells // size == cell
        assert role == made.roles[owners[place // 512]]
        assert strip.word(cell, cells) == Owner(owners[place // 512]).word
        sure = inside if clusters <= PARTS else inside[strip.part // 512 : -strip.part // 512]
        assert not len(sure) or made.roles.index(role) >= sure.max()


@pytest.mark.parametrize("cells", [11, 22, 36, 240])
def test_one_bad_cluster_among_millions_is_seen(cells: int) -> None:
    owners = np.full(3_000_000, Owner.DATA, dtype=np.uint8)
    owners[1_234_567] = Owner.LEAKED
    strip = strip_of(ClusterMap(Nibbles.of(owners), 1 << 16, 1, len(owners) << 16), {2_500_000})
    assert strip is not None
    bad = {cell: strip.role(cell, cells) for cell in range(cells) if strip.role(cell, cells) != "data"}
    size = len(owners) << 16
    assert bad == {(1_234_567 << 16) * cells // size: "leaked", (2_500_000 << 16) * cells // size: "invalid"}
    assert [strip.place(cell, cells) >> 16 for cell in bad] == [1_234_567, 2_500_000]
    assert [strip.word(cell, cells) for cell in bad] == ["leaked", "evidence of a finding"]


def test_an_empty_map_has_no_strip() -> None:
    assert strip_of(ClusterMap(Nibbles(0), 512, 1, 0), ()) is None


# -- how it looks ----------------------------------------------------------------------------------------------------


def test_colours_signs_and_the_mark() -> None:
    owners = np.array([Owner.HEADER, Owner.DATA, Owner.FREE, Owner.FREE], dtype=np.uint8)
    strip = strip_of(ClusterMap(Nibbles.of(owners), 512, 1, 2048), ())
    assert strip is not None
    mixed, free = mapstrip.cells_of(strip, 2, COLOURED)
    assert mixed[0][0] == "▀"
    assert (mixed[0][1].color, mixed[0][1].bgcolor) == tuple(
        style.color for style in (COLOURED.style("header"), COLOURED.style("data"))
    )
    assert free[0][0] == " "
    assert mixed[1][0] == COLOURED.glyphs["thumb"]
    assert mixed[1][1].bgcolor == COLOURED.style("header").color  # the worse of both stays in sight
    for look in (PLAIN, Look(Colors.NONE, Glyphs()), Look(Colors.ANSI, Glyphs(ascii_only=True))):
        (sign, style), (marked, marked_style) = mapstrip.cells_of(strip, 2, look)[0]
        assert sign == marked == look.glyphs["header"]
        assert (style, marked_style) == (look.style("header"), look.style("header", Ground.CURSOR))
        assert marked_style.reverse


async def test_the_mark_follows_the_bytes_and_nothing_else_is_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    whole = mapstrip.cells_of

    def counted(strip: Strip, height: int, look: Look) -> list[mapstrip.Cell]:
        made.append(height)
        return whole(strip, height, look)

    monkeypatch.setattr(mapstrip, "cells_of", counted)
    async with playing(memory_image(), size=(80, 24)) as pilot:
        await tap(pilot, "2")
        await settle(pilot)
        pane = explore(pilot).hex
        assert marks(pilot, pane)[0] == "▐"
        assert marks(pilot, pane).count("▐") == 1
        count = len(made)
        await tap(pilot, "down", "pagedown", "pagedown", "right")
        await go(pilot, "c35")
        middle = marks(pilot, pane)
        assert 0 < middle.index("▐") < len(middle) - 1
        await tap(pilot, "ctrl+end")
        assert marks(pilot, pane)[-1] == "▐"
        assert marks(pilot, pane).count("▐") == 1
        assert len(made) == count
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert count < len(made) <= count + 2
        assert marks(pilot, pane)[-1] == "▐"
        check_grid(pilot.app, (120, 40))


async def test_a_small_file_is_in_sight_as_a_whole() -> None:
    async with playing(memory_image(build(Recipe(Layout(1 << 20, cluster_bits=9)))), size=(200, 500)) as pilot:
        await tap(pilot, "2")
        await settle(pilot)
        assert set(marks(pilot, explore(pilot).hex)) == {"▐"}


async def test_a_theme_changes_the_colours_of_the_strip() -> None:
    look = Look(Colors.TRUE, Glyphs())
    async with playing(memory_image(), look=look) as pilot:
        await tap(pilot, "2")
        await settle(pilot)
        dark = [segment.style for segment in column(pilot, explore(pilot).hex)]
        await tap(pilot, "T")
        await settle(pilot)
        light = [segment.style for segment in column(pilot, explore(pilot).hex)]
        assert all(one != other for one, other in zip(dark, light, strict=True))


# -- when it is there ------------------------------------------------------------------------------------------------


async def test_before_the_tables_are_read_there_is_a_position_marker() -> None:
    async with playing(memory_image(), size=(100, 30)) as pilot:
        session = inspector(pilot).session
        survey, session.knowledge = session.knowledge, type(session.knowledge)(session.knowledge.dossier, ())
        await tap(pilot, "2")
        await settle(pilot)
        pane = explore(pilot).hex
        assert pane.strip is None
        assert marks(pilot, pane).count("▐") == 1
        assert set(marks(pilot, pane)) == {"▐", " "}
        region = pane.content_region
        await pilot.click(pane, offset=(region.width - 1, region.height // 2))
        assert pane.top > 0
        assert pane.at == 0
        session.knowledge = survey
        explore(pilot).begin_strip()
        await made(pilot, pane)


@pytest.mark.parametrize(("width", "there"), [(79, False), (80, True), (40, False)])
async def test_narrow_terminals_have_a_marker_only(width: int, there: bool) -> None:
    async with playing(memory_image(), size=(width, 24)) as pilot:
        for key, pane_of in (("2", explore), ("5", guest)):
            await tap(pilot, key)
            await settle(pilot)
            if there:
                await made(pilot, pane_of(pilot).hex)
            assert (pane_of(pilot).hex.strip is not None) == there
            check_grid(pilot.app, (width, 24))


# -- going there -----------------------------------------------------------------------------------------------------


async def test_a_click_goes_to_the_worst_and_back_leads_back() -> None:
    async with playing(memory_image(build(damaged_recipe())), size=(120, 40)) as pilot:
        await tap(pilot, "2")
        await settle(pilot)
        pane = explore(pilot).hex
        await made(pilot, pane)
        lines = pane.height
        line = max(range(lines), key=lambda y: (pane.strip.role(y, lines) == "invalid", y) if pane.strip else (0, 0))
        await tap(pilot, "right", "right")
        await pilot.click(pane, offset=(1 + pane.content_size.width - 1, 1 + line))
        await settle(pilot)
        findings = inspector(pilot).session.knowledge.findings
        clusters = {e.where.start >> 16 for f in findings if f.severity.is_bad for e in f.evidence}
        assert pane.at >> 16 in clusters
        assert pane.at > 0
        assert pane.at * lines // pane.byte_count == line
        assert "evidence of a finding" in shown(pilot.app)
        await tap(pilot, "less_than_sign")
        assert pane.at == 2


@pytest.mark.parametrize("size", [(120, 40), (60, 24)])
async def test_keys_walk_the_strip(size: tuple[int, int]) -> None:
    async with playing(memory_image(), size=size) as pilot:
        for key, pane_of in (("2", explore), ("5", guest)):
            await tap(pilot, key)
            await settle(pilot)
            pane = pane_of(pilot).hex
            await placed(pilot, pane)
            await tap(pilot, "ctrl+home")
            seen = [pane.at]
            for _ in range(pane.height + 2):
                await tap(pilot, "right_curly_bracket")
                seen.append(pane.at)
            lines = [at * pane.height // pane.byte_count for at in seen]
            assert lines == [*range(pane.height), pane.height - 1, pane.height - 1, pane.height - 1]
            await tap(pilot, "left_curly_bracket")
            assert pane.at * pane.height // pane.byte_count == pane.height - 2


# -- the guest disk --------------------------------------------------------------------------------------------------


async def test_the_guest_strip_shows_the_disk_of_its_state() -> None:
    recipe = Recipe(Layout(1 << 20), {0: Data(b"a")}, (Snapshot(b"before", {5: Data(b"n")}),))
    async with playing(memory_image(build(recipe)), size=(120, 40)) as pilot:
        await tap(pilot, "5")
        await settle(pilot)
        pane = guest(pilot).hex
        await made(pilot, pane)
        assert pane.strip is not None
        assert pane.strip.words == tuple(kind.word for kind in Mapped)
        active = pane.strip
        await go(pilot, "@snap[0] G0")
        assert inspector(pilot).session.state != ACTIVE
        assert pane.strip is not None
        assert pane.strip != active
        assert (pane.strip.size, active.size) == (pane.byte_count, recipe.layout.size)


async def test_a_click_in_the_guest_strip_goes_to_guest_bytes() -> None:
    data = {200: Data(b"x")}
    async with playing(memory_image(build(Recipe(Layout(64 << 20), data))), size=(80, 24)) as pilot:
        await tap(pilot, "5")
        await settle(pilot)
        pane = guest(pilot).hex
        await made(pilot, pane)
        line = (200 << 16) * pane.height // pane.byte_count
        await pilot.click(pane, offset=(79, line))
        await settle(pilot)
        assert guest(pilot).hex.at == 200 << 16
        assert "guest data" in shown(pilot.app)
