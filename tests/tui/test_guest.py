"""The guest view: the bytes as the guest sees them, where they come from, and what is never shown as zero."""

from __future__ import annotations

import random
import re
import threading
import time
from pathlib import Path

import pytest

from qcow2inspect.build.demo import damaged_recipe, demo_disk, demo_recipe
from qcow2inspect.build.recipe import Compressed, Data, Recipe, Snapshot, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.image.address import resolve
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.image.view import View
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.tui.reader import CHUNK, Chunk, GuestReader, read_chunk
from qcow2inspect.tui.screens.guest import GuestScreen
from qcow2inspect.tui.theme import Look
from tests.images import image_of
from tests.rules.incidents import CLUSTER, SPAN, DoubleAllocation
from tests.tui.qemu_images import chain_in
from tests.tui.stage import (
    COLOURED,
    PLAIN,
    SIZES,
    check_grid,
    compare_golden,
    explore,
    go,
    grid,
    guest,
    inspector,
    memory_image,
    playing,
    settle,
    shown,
    tap,
)

_K = 1 << 10
CUT = Recipe(Layout(size=1 << 20), {0: Data(b"kept"), 1: Data(b"lost"), 2: Zero(), 3: Compressed(b"packed ")})


def hex_rows(text: str, digits: int = 8) -> dict[int, str]:
    """Offset -> hexadecimal part of the rows of a guest pane."""
    rows = {}
    for row in (line.lstrip("┃│") for line in text.split("\n")):
        if len(row) > digits and row[digits] == " " and all(c in "0123456789abcdef" for c in row[:digits]):
            rows[int(row[:digits], 16)] = row[digits + 4 : digits + 4 + 48]
    return rows


# -- goldens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
async def test_golden_guest(size: tuple[int, int], look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    async with playing(memory_image(), size=size, look=look) as pilot:
        await tap(pilot, "5")
        await settle(pilot)
        await go(pilot, "0x7fffe0")
        check_grid(pilot.app, size)
        await compare_golden(pilot, f"guest-{size[0]}x{size[1]}{'-plain' if look is PLAIN else ''}")


async def test_bytes_below_a_table_that_cannot_be_believed_say_so() -> None:
    """Refcounts as wide as entries read as zeros: what is shown is never taken for what the guest wrote."""
    case = DoubleAllocation(tables=8, blocks=3, guest=2, letters=b"\0", block=b"\0" * 7 + b"\1", refcount_order=6)
    image = memory_image(case.image(), "vm.qcow2")
    hit = random.Random(case.tables).sample(range(case.tables), 5)
    sound = next(index for index in range(case.tables) if index not in hit)
    async with playing(image, size=(80, 24)) as pilot:
        await tap(pilot, "5")
        for table, words in ((hit[0], "overwritten by refcount block content"), (hit[3], "is all zeros"), (sound, "")):
            await go(pilot, f"{table * SPAN * CLUSTER + 512:#x}")
            text = " ".join(row.strip() for row in grid(pilot.app))
            assert ("doubt" in text) == bool(words)
            assert words in re.sub(r"[▐\s]+", " ", text)


async def test_a_disk_without_a_byte_shows_none() -> None:
    async with playing(memory_image(build(Recipe(Layout(size=0))), "empty.qcow2"), size=(80, 24)) as pilot:
        assert "│ 0 B disk" in shown(pilot.app)
        await tap(pilot, "5")
        await settle(pilot)
        assert "what is looked at is 0 bytes long" in shown(pilot.app)
        assert "guest byte 0x0" not in shown(pilot.app)
        await tap(pilot, "s", "enter", "end", "down", "y", "escape", "w", "escape", "v", "slash", "escape")
        await settle(pilot)
        assert "what is looked at is 0 bytes long" in shown(pilot.app)


@pytest.mark.parametrize("size", [(20, 6), (40, 12), (60, 24), (79, 33), (116, 16), (300, 100)])
async def test_every_size_works(size: tuple[int, int]) -> None:
    async with playing(memory_image(), size=size) as pilot:
        await tap(pilot, "5")
        await settle(pilot)
        for key in ("down", "right", "pagedown", "end", "tab", "down", "tab", "up", "S", "escape", "o", "escape", "p"):
            await tap(pilot, key)
            await settle(pilot)
            check_grid(pilot.app, size)


# -- bytes -----------------------------------------------------------------------------------------------------------


async def test_the_bytes_are_those_of_the_disk() -> None:
    disk = demo_disk()
    async with playing(memory_image(), size=(120, 40)) as pilot:
        await tap(pilot, "5")
        await settle(pilot)
        for place in ("0", "0x7fffe0", "0x880000", "32M", "$"):
            if place == "$":
                await tap(pilot, "G")
                await settle(pilot)
            else:
                await go(pilot, place)
            rows = hex_rows(shown(pilot.app))
            assert len(rows) > 20
            for start, text in rows.items():
                assert bytes.fromhex(text) == disk[start : start + 16], hex(start)


async def test_what_is_not_there_is_marked() -> None:
    sound = build(CUT)
    image = Image(MemorySource(sound))
    run = resolve(Tree(image), "L1[0].L2[3].data").offset
    broken = bytearray(sound)
    broken[run : run + 8] = b"\xff" * 8
    async with playing(memory_image(bytes(broken)), size=(120, 40)) as pilot:
        await tap(pilot, "5")
        await settle(pilot)
        await go(pilot, "192K")
        assert set(hex_rows(shown(pilot.app))[192 * _K].split()) == {"??"}
        assert "inflated" in shown(pilot.app)
    recipe = Recipe(CUT.layout, CUT.clusters, damage={"L1[0].L2[1]": 1 << 63 | 1 << 30, "L1[0].L2[2]": 1 << 63 | 0x200})
    async with playing(memory_image(build(recipe)), size=(120, 40)) as pilot:
        await tap(pilot, "5")
        await settle(pilot)
        await go(pilot, "64K")
        assert set(hex_rows(shown(pilot.app))[64 * _K].split()) == {"~~"}
        assert "~~ past the end" in shown(pilot.app)
        await go(pilot, "128K")
        assert set(hex_rows(shown(pilot.app))[128 * _K].split()) == {"??"}
        assert "?? unreadable" in shown(pilot.app)


async def test_a_disk_that_cannot_be_found_is_explained() -> None:
    recipe = Recipe(Layout(size=1 << 20), {0: Data(b"x")}, damage={"hdr.l1_table_offset": 0x201})
    async with playing(memory_image(build(recipe))) as pilot:
        await tap(pilot, "5")
        await settle(pilot)
        check_grid(pilot.app, (120, 40))
        assert "l1_table_offset" in shown(pilot.app)
        for key in ("down", "end", "enter", "s", "pagedown"):
            await tap(pilot, key)
            await settle(pilot)
            check_grid(pilot.app, (120, 40))


async def test_an_empty_disk() -> None:
    async with playing(memory_image(build(Recipe(Layout(size=0))))) as pilot:
        await tap(pilot, "5")
        await settle(pilot)
        for key in ("down", "end", "enter", "s"):
            await tap(pilot, key)
            await settle(pilot)
            check_grid(pilot.app, (120, 40))


# -- travel ----------------------------------------------------------------------------------------------------------


async def test_enter_goes_to_the_entry_and_back() -> None:
    async with playing(memory_image()) as pilot:
        tree = inspector(pilot).session.tree
        await tap(pilot, "5")
        await settle(pilot)
        await go(pilot, "0x820010")
        await tap(pilot, "enter")
        await settle(pilot)
        assert explore(pilot).hex.at == resolve(tree, "L1[0].L2[130]").offset
        await tap(pilot, "less_than_sign")
        await settle(pilot)
        assert guest(pilot).hex.at == 0x820010


async def test_s_swaps_host_and_guest() -> None:
    async with playing(memory_image()) as pilot:
        tree = inspector(pilot).session.tree
        await tap(pilot, "5")
        await settle(pilot)
        await go(pilot, "0x280123")
        await tap(pilot, "s")
        await settle(pilot)
        screen = explore(pilot)
        assert screen.hex.at == resolve(tree, "L1[0].L2[40].data").offset + 0x123
        await tap(pilot, "s")
        await settle(pilot)
        assert guest(pilot).hex.at == 0x280123
        await go(pilot, "hdr.size")
        await tap(pilot, "s")
        await settle(pilot)
        assert "maps no guest bytes" in shown(pilot.app)
        await go(pilot, "L1[0].L2[41]")
        await tap(pilot, "s")
        await settle(pilot)
        assert guest(pilot).hex.at == 0x290000


async def test_from_a_host_byte_that_nothing_names_to_the_guest() -> None:
    """A host offset alone: which guest byte lies there is looked for, in the snapshots too."""
    async with playing(memory_image()) as pilot:
        tree = inspector(pilot).session.tree
        data = resolve(tree, "L1[0].L2[41].data").offset
        await go(pilot, f"{data + 5:#x}")
        assert explore(pilot).node is not None
        await tap(pilot, "s")
        await settle(pilot)
        assert guest(pilot).hex.at == 0x290005
        old = resolve(tree, "snap[0].L1[0].L2[9].data").offset
        await go(pilot, f"L1[0]+{old - resolve(tree, 'L1[0]').offset + 7}")
        await tap(pilot, "s")
        await settle(pilot)
        assert guest(pilot).session.state.kind == "snapshot"
        assert guest(pilot).hex.at == 0x90007


async def test_in_a_snapshot_the_way_leads_to_its_own_tables() -> None:
    recipe = Recipe(Layout(size=1 << 20), {0: Data(b"old")}, (Snapshot(b"one", {0: Data(b"new")}),))
    async with playing(memory_image(build(recipe))) as pilot:
        await tap(pilot, "S", "down", "enter")
        await settle(pilot)
        assert "old old" in shown(pilot.app).replace("oldold", "old old")
        await tap(pilot, "enter")
        await settle(pilot)
        node = explore(pilot).node
        assert node is not None
        assert node.path == "snap[0].L1[0].L2[0]"


@pytest.mark.oracle
async def test_a_byte_of_the_backing_file_is_not_looked_for_in_the_image(tmp_path: Path) -> None:
    async with playing(chain_in(tmp_path), gate=OpenGate(Follow.FOLDER)) as pilot:
        await tap(pilot, "5")
        await settle(pilot)
        await tap(pilot, "s")
        await settle(pilot)
        assert isinstance(pilot.app.screen, GuestScreen)
        assert "this byte lies in layer 2" in shown(pilot.app)


# -- the reader ------------------------------------------------------------------------------------------------------


def test_chunks_have_no_gaps_and_say_where_they_come_from() -> None:
    disk = image_of(demo_recipe()).active_disk()
    expected = demo_disk()
    for number in (0, 127, 128, 1024, disk.size // CHUNK - 1):
        chunk = read_chunk(disk, number * CHUNK)
        assert chunk.data == expected[number * CHUNK : (number + 1) * CHUNK]
        for at in range(chunk.start, chunk.start + CHUNK, 512):
            assert at in range(chunk.at(at).guest.start, chunk.at(at).guest.end)


def test_a_chunk_of_a_damaged_disk_has_reasons() -> None:
    disk = image_of(damaged_recipe()).active_disk(lenient=True)
    chunk = read_chunk(disk, 40 << 16)
    assert chunk.pieces[0].error is not None
    assert not any(chunk.data)


class SlowView:
    """A view that takes its time until it is let go."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.gate = threading.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._view, name)

    def read_extent(self, extent: object) -> bytes:
        self.gate.wait(20)
        return self._view.read_extent(extent)  # type: ignore[arg-type]


def test_a_slow_read_is_not_waited_for() -> None:
    slow = SlowView(image_of(demo_recipe()).active_disk())
    came = threading.Event()
    reader = GuestReader(came.set)
    reader.show(slow)  # type: ignore[arg-type]
    started = time.monotonic()
    assert reader.chunk(0) is None
    assert reader.chunk(1) is None
    assert reader.busy
    assert time.monotonic() - started < 5
    slow.gate.set()
    assert came.wait(20)
    chunk: Chunk | None = reader.chunk(0)
    assert chunk is not None
    assert chunk.data == demo_disk()[:CHUNK]
    reader.close()


def test_what_was_asked_for_in_vain_is_dropped() -> None:
    slow = SlowView(image_of(demo_recipe()).active_disk())
    reader = GuestReader(lambda: None)
    reader.show(slow)  # type: ignore[arg-type]
    for number in range(40):
        assert reader.chunk(number * CHUNK) is None
    assert len(reader._waiting) <= 8
    fast = image_of(demo_recipe()).active_disk()
    slow.gate.set()
    reader.show(fast)
    deadline = time.monotonic() + 20
    while (chunk := reader.chunk(0)) is None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert chunk is not None
    reader.close()


async def test_keys_work_while_bytes_are_read() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "5")
        await settle(pilot)
        screen = guest(pilot)
        slow = SlowView(screen.session.view())
        screen.hex.read_from(slow)  # type: ignore[arg-type]
        await tap(pilot, "pagedown", "down")
        assert screen.hex.at > 0
        assert ":: :: ::" in shown(pilot.app)
        slow.gate.set()
        await settle(pilot)
        assert ":: :: ::" not in shown(pilot.app)
        assert hex_rows(shown(pilot.app))
