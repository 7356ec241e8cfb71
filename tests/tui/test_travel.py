"""Moving through an image: one place, seen by all panes."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from qcow2inspect.build.demo import DEFECTS, damaged_recipe, demo_recipe, write_demo
from qcow2inspect.build.recipe import Data, Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.image.address import resolve
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.tui.dialogs.goto import GotoDialog
from qcow2inspect.tui.screens.explore import ExploreScreen
from qcow2inspect.tui.screens.overview import OverviewScreen
from tests.tui.stage import explore, go, inspector, memory_image, playing, settle, shown, tap, type_text


async def test_from_the_header_to_the_data_with_one_key() -> None:
    async with playing(memory_image()) as pilot:
        tree = inspector(pilot).session.tree
        await go(pilot, "hdr.l1_table_offset")
        screen = explore(pilot)
        assert screen.node is not None
        assert screen.node.path == "hdr.l1_table_offset"
        for path in ("L1", "L1[0].L2", "L1[0].L2[0].data"):
            await tap(pilot, "enter")
            await settle(pilot)
            assert screen.hex.at == resolve(tree, path).offset
        assert screen.node.path == "L1[0].L2[0].data"
        assert "guest 0x0" in shown(pilot.app)
        await tap(pilot, "enter")
        await settle(pilot)
        assert "points nowhere" in shown(pilot.app)
        for path in ("L1[0].L2[0]", "L1[0]", "hdr.l1_table_offset"):
            await tap(pilot, "less_than_sign")
            await settle(pilot)
            assert screen.hex.at == resolve(tree, path).offset
        await tap(pilot, "less_than_sign")
        await settle(pilot)
        assert isinstance(pilot.app.screen, OverviewScreen)
        for _ in range(4):
            await tap(pilot, "greater_than_sign")
            await settle(pilot)
        assert screen.hex.at == resolve(tree, "L1[0].L2[0].data").offset
        await tap(pilot, "greater_than_sign")
        await settle(pilot)
        assert "nothing ahead" in shown(pilot.app)


async def test_the_tree_follows_the_bytes() -> None:
    async with playing(memory_image()) as pilot:
        await go(pilot, "L1[0].L2[3]")
        screen = explore(pilot)
        assert screen.tree_pane.node.path == "L1[0].L2[3]"
        await tap(pilot, "right_square_bracket", "right_square_bracket")
        await settle(pilot)
        assert screen.tree_pane.node.path == "L1[0].L2[4]"
        assert screen.hex.at % 8 == 0
        await tap(pilot, *["left_square_bracket"] * 4)
        await settle(pilot)
        assert screen.tree_pane.node.path == "L1[0].L2[2]"
        await go(pilot, "ref[5]")
        assert screen.tree_pane.node.path == "ref[5]"
        await go(pilot, "hdr.size")
        assert screen.tree_pane.node.path == "hdr.size"
        assert screen.tree_pane.row_count < 40, "what the tree opened by itself is closed again"


async def test_the_bytes_follow_the_tree() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "2")
        await settle(pilot)
        screen = explore(pilot)
        await tap(pilot, "tab", "home")
        await settle(pilot)
        assert screen.focused is screen.tree_pane
        for _ in range(30):
            await tap(pilot, "down")
            await pilot.pause(0)
            node = screen.tree_pane.node
            assert screen.node == node
            assert screen.hex.at == min(int(node.where.start), screen.hex.view.size - 1)
            if node.path == "L1":
                break
        assert screen.tree_pane.node.path == "L1"
        await tap(pilot, *["right"] * 8)
        await settle(pilot)
        assert screen.tree_pane.node.path == "L1[0].L2[0].data"
        await tap(pilot, "left", "left", "left")
        await settle(pilot)
        assert screen.tree_pane.node.path == "L1[0].L2"


async def test_enter_in_the_tree_opens_or_follows() -> None:
    async with playing(memory_image()) as pilot:
        await go(pilot, "snap")
        screen = explore(pilot)
        await tap(pilot, "t", "home", "down", "enter")
        await settle(pilot)
        rows = screen.tree_pane.row_count
        await tap(pilot, "enter")
        await settle(pilot)
        assert screen.tree_pane.row_count != rows
        assert screen.tree_pane.node.path == "hdr"


async def test_a_table_that_is_shared_belongs_to_where_one_came_from() -> None:
    recipe = Recipe(Layout(size=1 << 20), {0: Data(b"old")}, (Snapshot(b"one", {}),))
    async with playing(memory_image(build(recipe))) as pilot:
        screen_tree = inspector(pilot).session.tree
        shared = resolve(screen_tree, "snap[0].L1[0].L2").offset
        assert shared == resolve(screen_tree, "L1[0].L2").offset
        await go(pilot, "snap[0].L1[0]")
        screen = explore(pilot)
        await tap(pilot, "enter")
        await settle(pilot)
        assert screen.hex.at == shared
        assert screen.node is not None
        assert screen.node.path == "snap[0].L1[0].L2[0]"
        await tap(pilot, "enter")
        await settle(pilot)
        assert screen.node.path == "snap[0].L1[0].L2[0].data"
        assert "snap[0]" in shown(pilot.app).split("\n")[0]


async def test_a_pointer_past_the_end_is_not_followed() -> None:
    async with playing(memory_image(build(damaged_recipe()))) as pilot:
        await go(pilot, "L1[0].L2[41]")
        screen = explore(pilot)
        before = screen.hex.at
        await tap(pilot, "enter")
        await settle(pilot)
        assert screen.hex.at == before
        assert "past the end of the file" in shown(pilot.app)


async def test_from_a_finding_to_the_bytes_and_back() -> None:
    async with playing(memory_image(build(damaged_recipe()))) as pilot:
        app = inspector(pilot)
        evidence = [finding.evidence[0] for finding in app.session.knowledge.findings if finding.evidence]
        assert len(evidence) >= len(DEFECTS)
        await tap(pilot, "enter")
        await settle(pilot)
        first = app.session.knowledge.findings[0]
        assert explore(pilot).hex.at == first.evidence[0].where.start
        assert first.code in shown(pilot.app)
        await tap(pilot, "less_than_sign")
        await settle(pilot)
        assert isinstance(pilot.app.screen, OverviewScreen)
        await tap(pilot, "down", "enter")
        await settle(pilot)
        second = app.session.knowledge.findings[1]
        assert explore(pilot).hex.at == second.evidence[0].where.start


async def test_evidence_unfolds() -> None:
    damage = {f"L1[0].L2[{index}]": 0x8000_0000_0020_1000 for index in (40, 42, 44, 46)}
    sound = demo_recipe()
    recipe = Recipe(sound.layout, sound.clusters, sound.snapshots, damage=damage)
    async with playing(memory_image(build(recipe)), size=(120, 60)) as pilot:
        assert "L1[0].L2[44]" not in shown(pilot.app)
        await tap(pilot, "right")
        await settle(pilot)
        assert "L1[0].L2[44]" in shown(pilot.app)
        await tap(pilot, "down", "down", "down", "enter")
        await settle(pilot)
        node = explore(pilot).node
        assert node is not None
        assert node.path == "L1[0].L2[44]"
        await tap(pilot, "1", "left")
        await settle(pilot)
        assert "L1[0].L2[44]" not in shown(pilot.app)


async def test_findings_scroll_into_sight_on_a_small_screen() -> None:
    async with playing(memory_image(build(damaged_recipe())), size=(80, 24)) as pilot:
        app = inspector(pilot)
        for finding in app.session.knowledge.findings:
            assert finding.code in shown(pilot.app)
            await tap(pilot, "down")
            await settle(pilot)
        for _ in range(40):
            await tap(pilot, "pagedown")
        await settle(pilot)
        assert "Next steps" in shown(pilot.app)
        assert "more below" not in shown(pilot.app)


# -- goto ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("L1[0].L2[130]", "compressed"),
        ("0x0", "magic"),
        ("c1", "refcount"),
        ("G0x10000", "data"),
        ("ref[3]", "refcount of host cluster 3"),
    ],
)
async def test_goto_says_where_it_leads(address: str, words: str) -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "g")
        await type_text(pilot, address)
        dialog = pilot.app.screen
        assert isinstance(dialog, GotoDialog)
        assert words in dialog.notes.text
        await tap(pilot, "enter")
        await settle(pilot)
        assert explore(pilot).hex.at == resolve(inspector(pilot).session.tree, address).offset


@pytest.mark.parametrize("address", ["nonsense", "L1[99]", "0x", "G1TiB", "+", "[[[", "hdr.nothing"])
async def test_goto_explains_what_leads_nowhere(address: str) -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "g")
        await type_text(pilot, address)
        dialog = pilot.app.screen
        assert isinstance(dialog, GotoDialog)
        assert dialog.notes.text.strip()
        await tap(pilot, "enter")
        await settle(pilot)
        assert isinstance(pilot.app.screen, GotoDialog)
        await tap(pilot, "escape")
        await settle(pilot)
        assert isinstance(pilot.app.screen, OverviewScreen)


async def test_goto_past_the_end_stays() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "g")
        await type_text(pilot, "0xffffffffffff")
        assert "past the end" in shown(pilot.app)
        await tap(pilot, "enter")
        await settle(pilot)
        assert isinstance(pilot.app.screen, GotoDialog)


async def test_goto_typed_fast_and_entered_at_once() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "g", *"0x30000", "enter")
        await settle(pilot)
        assert explore(pilot).hex.at == 0x30000


async def test_keys_typed_into_an_input_are_text() -> None:
    async with playing(memory_image()) as pilot:
        await pilot.press("g", "q", "question_mark", "colon", "2")
        await settle(pilot)
        assert pilot.app.screen.query_one(Input).value == "q?:2"


async def test_a_click_on_a_crumb_goes_there() -> None:
    async with playing(memory_image()) as pilot:
        await go(pilot, "L1[0].L2[3]")
        row = shown(pilot.app).split("\n")[0]
        await pilot.click(offset=(row.index("L1[0]") + 1, 0))
        await settle(pilot)
        assert explore(pilot).hex.at == resolve(inspector(pilot).session.tree, "L1[0]").offset


async def test_modes_keep_their_place() -> None:
    async with playing(memory_image()) as pilot:
        await go(pilot, "0x30008")
        await tap(pilot, "1")
        await settle(pilot)
        assert isinstance(pilot.app.screen, OverviewScreen)
        await tap(pilot, "2")
        await settle(pilot)
        assert explore(pilot).hex.at == 0x30008
        await tap(pilot, "less_than_sign")
        await settle(pilot)
        assert isinstance(pilot.app.screen, OverviewScreen)


async def test_before_the_tables_are_read() -> None:
    async with playing(memory_image(), settled=False) as pilot:
        session = inspector(pilot).session
        session.indexed = False
        assert session.locate(resolve(session.tree, "hdr.size").offset) is not None
        assert session.locate(resolve(session.tree, "L1[0]").offset) is None
        await settle(pilot)
        assert session.indexed


# -- the file under our eyes -------------------------------------------------------------------------------------------


async def test_a_changed_image_raises_a_banner(tmp_path: Path) -> None:
    path, _, _ = write_demo(str(tmp_path))
    async with playing(path) as pilot:
        app = inspector(pilot)
        assert not app.screen.query_one("Banner").display
        with open(path, "ab") as file:
            file.write(b"more")
        app._look_again()
        await settle(pilot)
        assert "changed by somebody" in shown(pilot.app)
        await tap(pilot, "2")
        await settle(pilot)
        assert "changed by somebody" in shown(pilot.app)


async def test_a_huge_disk_opens_like_a_small_one() -> None:
    recipe = Recipe(Layout(size=16 << 40), {0: Data(b"first"), (9 << 40) >> 16: Data(b"far")})
    async with playing(Image(MemorySource(build(recipe)))) as pilot:
        await go(pilot, "G9TiB")
        assert isinstance(pilot.app.screen, ExploreScreen)
        text = shown(pilot.app)
        assert "guest 0x90000000000" in text
        assert "66 61 72 66 61 72" in text
