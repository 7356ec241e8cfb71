"""The scrollers: exact at any size, rows found by arithmetic."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from textual.app import App, ComposeResult

from qcow2inspect.image.view import HostFile
from qcow2inspect.layout.node import Lazy, Node
from qcow2inspect.tui.location import History, Location
from qcow2inspect.tui.widgets.hexpane import HexPane
from qcow2inspect.tui.widgets.paint import columns, line_width, strip, wrapped
from qcow2inspect.tui.widgets.vscroll import thumb
from qcow2inspect.tui.widgets.vtree import Branch, VTree, ancestors
from qcow2inspect.units import HostOffset, HostRange
from tests.tui.stage import COLOURED, grid, tap

LARGEST = (1 << 63) - 1


class Endless:
    """A source of any size whose bytes say where they are."""

    name = "endless"
    allocated = 0
    identity = None

    def __init__(self, size: int) -> None:
        self.size = size
        self.reads = 0

    def read_at(self, offset: int, size: int) -> bytes:
        self.reads += 1
        return bytes((offset + i) % 251 for i in range(min(size, max(0, self.size - offset))))

    def data_ranges(self, within: HostRange) -> Iterator[HostRange]:
        yield within


class Stage(App[None]):
    def __init__(self, pane: HexPane | VTree) -> None:
        super().__init__()
        self.pane = pane

    def compose(self) -> ComposeResult:
        yield self.pane


def hex_of(size: int) -> HexPane:
    return HexPane(HostFile(Endless(size)), lambda offset: None, COLOURED)


# -- positions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 15, 16, 17, 1 << 20, 10**12 + 5, (1 << 53) + 1, LARGEST])
async def test_hex_positions_are_exact(size: int) -> None:
    pane = hex_of(size)
    async with Stage(pane).run_test(size=(100, 30)) as pilot:
        assert pane.row_count == -(-size // 16)
        for where in sorted({0, size // 3, size - 1, max(0, size - 17), min(size - 1, 1 << 40)}):
            pane.show(where)
            await pilot.pause(0)
            assert pane.at == where
            assert pane.cursor == where // 16
            assert pane.top <= pane.cursor < pane.top + pane.height
            row = grid(pilot.app)[pane.cursor - pane.top]
            assert row.startswith(f"{where - where % 16:0{pane.digits}x} ")
            assert f"{where % 251:02x}" in row


async def test_hex_keys_at_the_far_end() -> None:
    pane = hex_of(LARGEST)
    async with Stage(pane).run_test(size=(100, 30)) as pilot:
        pane.focus()
        await tap(pilot, "ctrl+end")
        assert pane.at == LARGEST - 1
        await tap(pilot, "up")
        assert pane.at == LARGEST - 17
        await tap(pilot, "left", "h")
        assert pane.at == LARGEST - 19
        await tap(pilot, "down", "down", "right")
        assert pane.at == LARGEST - 1 - 1
        await tap(pilot, "pageup")
        assert pane.at < LARGEST - 1 - 16 * 20
        await tap(pilot, "home")
        assert pane.at % 16 == 0
        await tap(pilot, "end")
        assert pane.at % 16 == 15
        await tap(pilot, "ctrl+home")
        assert pane.at == 0


async def test_hex_reads_once_a_page() -> None:
    view = Endless(10**12)
    pane = HexPane(HostFile(view), lambda offset: None, COLOURED)
    async with Stage(pane).run_test(size=(100, 30)) as pilot:
        pane.focus()
        await pilot.pause(0)
        before = view.reads
        for _ in range(10):
            await tap(pilot, "pagedown")
        assert view.reads - before <= 10


async def test_hex_click_and_wheel() -> None:
    pane = hex_of(1 << 20)
    async with Stage(pane).run_test(size=(100, 30)) as pilot:
        await pilot.click(pane, offset=(9 + 3 * 3, 4))
        assert pane.at == 4 * 16 + 3
        await pilot.click(pane, offset=(9 + 8 * 3 + 1, 0))
        assert pane.at == 8
        await pilot.click(pane, offset=(pane.digits + 1 + 49 + 5, 2))
        assert pane.at == 2 * 16 + 5
        pane.scroll_top(50)
        assert pane.at == 2 * 16 + 5
        await pilot.click(pane, offset=(99, 29))
        assert pane.top == pane.last_top


@pytest.mark.parametrize(("width", "per_row"), [(100, 16), (78, 16), (60, 8), (40, 4), (20, 4)])
async def test_hex_fits_its_width(width: int, per_row: int) -> None:
    pane = hex_of(1 << 20)
    async with Stage(pane).run_test(size=(width, 10)):
        assert pane.per_row == per_row


@pytest.mark.parametrize("rows", [1, 30, 31, 1000, 10**12, LARGEST])
def test_the_marker_reaches_both_ends(rows: int) -> None:
    height = 30
    first, last = thumb(rows, 0, height), thumb(rows, max(0, rows - height), height)
    if rows <= height:
        assert not first
        return
    assert first.start == 0
    assert last.stop == height
    assert 1 <= len(first) < height


# -- the tree ------------------------------------------------------------------------------------------------------


def made_of(count: int, path: str = "L1", depth: int = 0) -> Node:
    def child(index: int) -> Node:
        below = made_of(5, f"{path}[{index}].L2", depth + 1) if depth < 2 else None
        return Node(f"[{index}]", f"{path}[{index}]", HostRange.at(8 * index, 8),
                    children=(lambda: [below]) if below else (lambda: ()), kind="l1")  # fmt: skip

    return Node(path, path, HostRange.at(0, 8 * count), children=lambda: Lazy(count, child), kind="l1")


def flat(branch: Branch) -> list[str]:
    rows: list[str] = []
    for place, node in enumerate(branch.children):
        rows.append(node.path)
        below = branch.branch(place)
        if below:
            rows += flat(below)
    return rows


def test_rows_and_places_are_inverse() -> None:
    root = Branch(made_of(40))
    chance = random.Random(7)
    branches = [root]
    for _ in range(60):
        branch = chance.choice(branches)
        place = chance.randrange(len(branch.children))
        if branch.branch(place):
            branch.close(place)
            branches = [root, *root.branches()]
        elif branch.children[place].children():
            branches.append(branch.open(place))
        expected = flat(root)
        assert root.rows == len(expected)
        for row in range(0, len(expected), 3):
            found, index = root.at(row)
            assert found.children[index].path == expected[row]


async def test_a_tree_of_a_million_rows_is_as_fast_as_a_small_one() -> None:
    made: list[int] = []

    def child(index: int) -> Node:
        made.append(index)
        return Node(f"[{index}]", f"rb[0][{index}]", HostRange.at(2 * index, 2), kind="refcount")

    root = Node("big", "", HostRange.at(0, 1), children=lambda: Lazy(10**9, child))
    tree = VTree(root, 32768, COLOURED)
    async with Stage(tree).run_test(size=(60, 30)) as pilot:
        tree.focus()
        started = time.monotonic()
        await tap(pilot, "end")
        assert tree.node.name == f"[{10**9 - 1}]"
        await tap(pilot, "pageup", "up")
        assert time.monotonic() - started < 2
        assert len(made) < 1000


@pytest.mark.parametrize(
    ("path", "way"),
    [
        ("hdr.size", ["hdr", "hdr.size"]),
        ("L1[2].L2[7].data", ["L1", "L1[2]", "L1[2].L2", "L1[2].L2[7]", "L1[2].L2[7].data"]),
        ("snap[0].L1[2]", ["snap", "snap[0]", "snap[0].L1", "snap[0].L1[2]"]),
        ("ref[70000]", ["rt", "rt[2]", "rb[2]", "ref[70000]"]),
        ("rb[3]", ["rt", "rt[3]", "rb[3]"]),
    ],
)
def test_the_way_down_to_an_address(path: str, way: list[str]) -> None:
    assert ancestors(path, 32768) == way


# -- history -------------------------------------------------------------------------------------------------------


def test_history_goes_back_and_forward() -> None:
    a, b, c = (Location(HostOffset(n)) for n in (1, 2, 3))
    history = History()
    assert history.back(a) is None
    history.leave(a)
    history.leave(b)
    assert history.back(c) == b
    assert history.back(b) == a
    assert history.back(a) is None
    assert history.forward(a) == b
    assert history.forward(b) == c
    assert history.forward(c) is None
    assert history.back(c) == b
    history.leave(b)
    assert history.forward(b) is None


# -- lines ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "a", "word " * 40, "日本語" * 20, "é" * 100])
@pytest.mark.parametrize("width", [0, 1, 7, 80])
def test_lines_are_cut_and_filled(text: str, width: int) -> None:
    style = COLOURED.style("text")
    made = strip([(text, style)], width, style)
    assert made.cell_length == width
    assert all(segment.style for segment in made)


def test_wrapped_text_fits() -> None:
    for text in ("plain words " * 9, "日本語 " * 30, ""):
        for width in (5, 20, 79):
            lines = wrapped(text, width)
            assert lines
            assert all(line_width([(line, COLOURED.style("text"))]) <= max(width, 6) for line in lines)


def test_the_right_end_of_a_line_wins() -> None:
    style = COLOURED.style("text")
    line = columns([("left " * 10, style)], [("RIGHT", style)], 20, style)
    text = "".join(part for part, _ in line)
    assert len(text) == 20
    assert text.endswith("RIGHT")
