"""The next and previous something, marks, search, and the findings screen."""

from __future__ import annotations

import os
import random
import re
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from textual import events
from textual.widgets import Input

from qcow2inspect.build.demo import damaged_recipe, demo_disk, demo_recipe
from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.findings import Finding
from qcow2inspect.image.address import resolve
from qcow2inspect.image.view import HostFile, View
from qcow2inspect.progress import Cancelled, Silent
from qcow2inspect.rules import examine
from qcow2inspect.rules.causes import causes
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.survey.survey import take_survey
from qcow2inspect.tui import nearby
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.pattern import parse_pattern
from qcow2inspect.tui.screens.findings import FindingsScreen, matches
from qcow2inspect.tui.search import find
from qcow2inspect.tui.tasks.searching import place
from qcow2inspect.tui.theme import Look
from qcow2inspect.units import GuestOffset
from tests.images import image_of
from tests.tui.stage import (
    COLOURED,
    PLAIN,
    SIZES,
    check_grid,
    compare_golden,
    explore,
    go,
    guest,
    inspector,
    memory_image,
    playing,
    press,
    settle,
    shown,
    tap,
    type_text,
)

if False:  # pragma: no cover - for the type checker only
    from textual.pilot import Pilot

NEXT, BACK = "right_square_bracket", "left_square_bracket"
DAMAGED = build(damaged_recipe())


# -- next and previous -----------------------------------------------------------------------------------------------


async def test_the_popup_lists_what_can_follow() -> None:
    async with playing(memory_image(DAMAGED), size=(80, 24)) as pilot:
        await press(pilot, "2", NEXT)
        await compare_golden(pilot, "explore-next-80x24")
        await press(pilot, "escape")
        assert explore(pilot).hex.at == 0


async def test_keys_that_come_at_once_are_taken_in_their_order() -> None:
    """Nobody waits for the list to appear."""
    async with playing(memory_image()) as pilot:
        await press(pilot, "2")
        for key in (NEXT, "c", NEXT, "c", "m", "x", BACK, "c"):
            pilot.app.post_message(events.Key(key, {NEXT: "]", BACK: "["}.get(key, key)))
        await settle(pilot)
        assert explore(pilot).hex.at == 0x10000
        assert inspector(pilot).session.marks["x"].offset == 0x20000
        assert not explore(pilot).which.display


async def test_from_finding_to_finding() -> None:
    async with playing(memory_image(DAMAGED)) as pilot:
        findings = inspector(pilot).session.knowledge.findings
        places = sorted({int(e.where.start) for f in findings for e in f.evidence})
        await press(pilot, "2")
        seen = []
        for _ in range(len(places)):
            await press(pilot, NEXT, "f")
            seen.append(explore(pilot).hex.at)
        assert seen == [place for place in places if place][: len(seen)]
        assert findings[-1].code.startswith("QCOW-")
        await press(pilot, NEXT, "f")
        assert "there is no next finding" in shown(pilot.app)
        await press(pilot, BACK, "f")
        assert explore(pilot).hex.at == seen[-2]
        await press(pilot, "less_than_sign")
        assert explore(pilot).hex.at == seen[-1]


async def test_to_an_entry_of_another_type() -> None:
    async with playing(memory_image()) as pilot:
        tree = inspector(pilot).session.tree
        await go(pilot, "L1[0].L2[3]")
        for index in (24, 40, 64, 72, 76, 128, 176):
            await press(pilot, NEXT, "e")
            assert explore(pilot).hex.at == resolve(tree, f"L1[0].L2[{index}]").offset
        for index in (175, 127):
            await press(pilot, BACK, "e")
            assert explore(pilot).hex.at == resolve(tree, f"L1[0].L2[{index}]").offset
        await go(pilot, "hdr.size")
        await press(pilot, NEXT, "e")
        assert "no next entry of another type" in shown(pilot.app)


async def test_to_the_next_cluster_and_back() -> None:
    async with playing(memory_image()) as pilot:
        await go(pilot, "0x12345")
        await press(pilot, NEXT, "c")
        assert explore(pilot).hex.at == 0x20000
        await press(pilot, BACK, "c")
        assert explore(pilot).hex.at == 0x10000
        await press(pilot, BACK, "c", BACK, "c")
        assert "no previous cluster" in shown(pilot.app)


async def test_to_the_next_change_of_type() -> None:
    async with playing(memory_image()) as pilot:
        await press(pilot, "2", NEXT, "t")
        assert explore(pilot).hex.at == 0x10000
        await press(pilot, NEXT, "t", NEXT, "t")
        assert explore(pilot).hex.at == 0x40000
        await press(pilot, BACK, "t")
        assert explore(pilot).hex.at == 0x30000
        await press(pilot, "5")
        borders = [24, 40, 64, 72, 76, 128]
        for border in borders:
            await press(pilot, NEXT, "t")
            assert guest(pilot).hex.at == border << 16
        await press(pilot, BACK, "t")
        assert guest(pilot).hex.at == 76 << 16


@pytest.mark.parametrize("at", [0, 1, 0xFFFF, 0x10000, 0x10001, 0x23456])
def test_cluster_steps(at: int) -> None:
    for step in (1, -1):
        offset = nearby.next_cluster(at, 0x10000, 0x30000, step)
        if offset is not None:
            assert offset % 0x10000 == 0
            assert (offset - at) * step > 0
            assert abs(offset - at) <= 0x10000
    assert nearby.next_cluster(0x2FFFF, 0x10000, 0x30000, 1) is None


def test_type_changes_are_those_of_the_extents() -> None:
    disk = image_of(demo_recipe()).active_disk()
    kinds = [(e.kind, e.layer) for e in disk.extents()]
    borders, last = [], None
    for extent, kind in zip(disk.extents(), kinds, strict=True):
        if kind != last:
            borders.append(int(extent.guest.start))
        last = kind
    found, at = [0], GuestOffset(0)
    while (there := nearby.next_guest_type(disk, at, 1)) is not None:
        found.append(int(there))
        at = there
    assert found == borders
    back, here = [], GuestOffset(disk.size - 1)
    while (there := nearby.next_guest_type(disk, here, -1)) is not None:
        back.append(int(there))
        here = there
    assert back[::-1] == borders


# -- marks -----------------------------------------------------------------------------------------------------------


async def test_marks_are_set_and_found_again() -> None:
    async with playing(memory_image()) as pilot:
        await go(pilot, "0x30008")
        await press(pilot, "m", "a")
        assert "mark a set" in shown(pilot.app)
        await press(pilot, "5")
        await go(pilot, "0x280000")
        await press(pilot, "m", "b", "home", "apostrophe")
        text = shown(pilot.app)
        assert "host 0x30008" in text
        assert "guest 0x280000" in text
        await press(pilot, "a")
        assert explore(pilot).hex.at == 0x30008
        await press(pilot, "less_than_sign", "apostrophe", "b")
        assert guest(pilot).hex.at == 0x280000
        await press(pilot, "G", BACK, "m")
        assert guest(pilot).hex.at == 0x280000
        await press(pilot, "2", "ctrl+home", NEXT, "m")
        assert explore(pilot).hex.at == 0x30008
        await press(pilot, "m", "escape")
        assert set(inspector(pilot).session.marks) == {"a", "b"}


async def test_no_mark_no_list() -> None:
    async with playing(memory_image()) as pilot:
        await press(pilot, "2", "apostrophe")
        assert "there are no marks" in shown(pilot.app)


# -- patterns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("QFI", b"QFI"),
        ('"a b"', b"a b"),
        ("hex:51 46 49 fb", b"QFI\xfb"),
        ("HEX:0x51,0x46", b"QF"),
        ("hex:51 ?? 49", b"Q\n9I"[:1] + b"\n" + b"I"),
        ("hex:5? ?6", b"\x5f\xa6"),
        ("u16:AB", b"A\0B\0"),
        ("é", "é".encode()),
        (".*", b".*"),
        ("hex:5b 5d 5c", b"[]\\"),
    ],
)
def test_patterns_match_what_they_say(text: str, data: bytes) -> None:
    pattern = parse_pattern(text)
    assert pattern.size == len(data)
    assert pattern.regex.fullmatch(data)
    assert not pattern.regex.fullmatch(data[:-1] + bytes([data[-1] ^ 0xFF])) or "?" in text.rsplit(maxsplit=1)[-1]


@pytest.mark.parametrize("text", ["", '""', "hex:", "hex:5", "hex:zz", "u16:", "x" * 5000])
def test_what_is_no_pattern_is_explained(text: str) -> None:
    with pytest.raises(ValueError, match=r"hex:|bytes"):
        parse_pattern(text)


def every_match(data: bytes, regex: re.Pattern[bytes]) -> list[int]:
    return [at for at in range(len(data)) if regex.match(data, at)]


def all_found(view: View, text: str, *, backward: bool = False) -> list[int]:
    """All matches, one search after the other."""
    pattern, found = parse_pattern(text), []
    start, end = 0, view.size
    while (hit := find(view, pattern, start, end, backward=backward, progress=Silent()).offset) is not None:
        found.append(hit)
        start, end = (start, hit) if backward else (hit + 1, end)
    return found[::-1] if backward else found


@pytest.mark.parametrize("text", ["aba", "hex:00 61", "hex:62 00", "hex:00 ?? 61", "hex:61 62", "lorem"])
def test_search_finds_what_a_plain_look_finds(text: str) -> None:
    """Across the borders of holes, zero clusters, compressed clusters and chunks; both ways."""
    chance = random.Random(5)
    letters = bytes(chance.choice(b"ab\0") for _ in range(997))
    clusters: dict[int, Cluster] = {
        1: Data(letters),
        2: Zero(),
        3: Compressed(letters[::-1]),
        4: Data(b"\0" * 4000 + b"ab"),
        6: Zero(b"aba"),
        7: Data(b"lorem ipsum dolo"),
    }
    disk = image_of(Recipe(Layout(size=10 << 12, cluster_bits=12), clusters)).active_disk()
    expected = every_match(disk.read_at(0, disk.size), parse_pattern(text).regex)
    assert all_found(disk, text) == expected
    assert all_found(disk, text, backward=True) == expected


def test_zero_bytes_are_looked_for_everywhere() -> None:
    disk = image_of(Recipe(Layout(size=1 << 20), {3: Data(b"full")})).active_disk()
    assert find(disk, parse_pattern("hex:00 00"), 0, disk.size, backward=False, progress=Silent()).offset == 0


def test_what_cannot_be_read_is_counted_and_never_matches() -> None:
    recipe = Recipe(
        Layout(size=1 << 20), {1: Data(b"\0a"), 2: Data(b"needle")}, damage={"L1[0].L2[1]": 1 << 63 | 0x200}
    )
    disk = image_of(recipe).active_disk()
    hit = find(disk, parse_pattern("needle"), 0, disk.size, backward=False, progress=Silent())
    assert hit.offset == 2 << 16
    assert hit.unread == 1 << 16
    assert find(disk, parse_pattern("hex:00 6e"), 0, disk.size, backward=False, progress=Silent()).offset is None


def test_a_huge_empty_disk_is_searched_at_once() -> None:
    size, last = 1 << 43, (1 << 43 >> 16) - 5
    disk = image_of(Recipe(Layout(size=size), {last: Data(b"needle")})).active_disk()
    for backward in (False, True):
        hit = find(disk, parse_pattern("needle"), 0, disk.size, backward=backward, progress=Silent())
        assert hit.offset is not None
        assert hit.offset >> 16 == last


def test_the_image_file_is_searched() -> None:
    data = build(demo_recipe())
    view = HostFile(MemorySource(data, "x"))
    expected = every_match(data, re.compile(b"what was here before lives", re.IGNORECASE))[:3]
    assert all_found(view, "What was here before lives")[:3] == expected


def test_a_search_is_cancelled() -> None:
    stop = threading.Event()

    class Stopping(Silent):
        def advance(self, amount: int) -> None:
            if stop.is_set():
                raise Cancelled

    stop.set()
    disk = image_of(demo_recipe()).active_disk()
    with pytest.raises(Cancelled):
        find(disk, parse_pattern("nothing like it"), 0, disk.size, backward=False, progress=Stopping())


def test_tasks_step_back_behind_the_thread_that_paints() -> None:
    said: list[int] = []
    ours = os.getpriority(os.PRIO_PROCESS, 0)

    def look() -> Location | None:
        said.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return None

    thread = threading.Thread(target=lambda: place(look, "f", 1, lambda _: None))
    thread.start()
    thread.join()
    place(look, "f", 1, lambda _: None)
    assert said == [max(ours, 5), ours], "this thread may be the one that paints"


# -- search on the screen --------------------------------------------------------------------------------------------


async def search(pilot: Pilot[None], text: str) -> None:
    await press(pilot, "slash")
    await type_text(pilot, text)
    await press(pilot, "enter")


async def test_search_in_the_guest_and_on() -> None:
    disk = demo_disk()
    places = [found.start() for found in re.finditer(b"page 13[0-9]", disk)]
    async with playing(memory_image()) as pilot:
        await press(pilot, "5")
        await search(pilot, "page 13")
        assert guest(pilot).hex.at == places[0]
        assert "n next" in shown(pilot.app)
        assert guest(pilot).hex.marked == range(places[0], places[0] + 7)
        await press(pilot, "n")
        assert guest(pilot).hex.at == places[1]
        await press(pilot, "N")
        assert guest(pilot).hex.at == places[0]
        await press(pilot, "N")
        assert "from the end again" in shown(pilot.app)
        assert guest(pilot).hex.at == places[-1]
        await press(pilot, "less_than_sign")
        assert guest(pilot).hex.at == places[0]


async def test_search_in_the_image_file() -> None:
    data = build(demo_recipe())
    async with playing(memory_image()) as pilot:
        await press(pilot, "2")
        await search(pilot, "hex:77 68 61 74 20 ?? 61 73")
        assert "nowhere in the image file" in shown(pilot.app)
        await search(pilot, "What was here")
        assert explore(pilot).hex.at == data.index(b"What was here")
        await search(pilot, "hex:5")
        assert isinstance(pilot.app.screen.query_one(Input), Input)
        assert "pairs of hexadecimal digits" in shown(pilot.app)


async def test_n_without_a_pattern_asks_for_one() -> None:
    async with playing(memory_image()) as pilot:
        await press(pilot, "2", "n")
        assert "Search the image file" in shown(pilot.app)


async def test_a_search_stops_on_escape() -> None:
    class Endless(MemorySource):
        slow = False

        def read_at(self, offset: int, size: int) -> bytes:
            if self.slow:
                threading.Event().wait(0.01)
            return super().read_at(offset, size)

    source = Endless(build(demo_recipe()) + bytes(64 << 20), "slow.qcow2")
    async with playing(memory_image()) as pilot:
        await press(pilot, "2")
        screen = explore(pilot)
        screen.hex.view = HostFile(source)
        source.slow = True
        await press(pilot, "slash")
        await type_text(pilot, "hex:de ad be ef 00 11 22")
        await tap(pilot, "enter", "escape")
        source.slow = False
        await settle(pilot)
        assert "search stopped" in shown(pilot.app)


# -- findings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
@pytest.mark.parametrize("size", SIZES)
async def test_golden_findings(size: tuple[int, int], look: Look) -> None:
    async with playing(memory_image(DAMAGED), size=size, look=look) as pilot:
        await press(pilot, "4", "down")
        check_grid(pilot.app, size)
        await compare_golden(pilot, f"findings-{size[0]}x{size[1]}{'-plain' if look is PLAIN else ''}")


async def test_findings_lead_to_the_bytes_and_back() -> None:
    async with playing(memory_image(DAMAGED)) as pilot:
        await press(pilot, "4", "down", "enter")
        findings = {finding.code: finding for finding in inspector(pilot).session.knowledge.findings}
        first = findings["QCOW-L1-RESERVED"]
        assert explore(pilot).hex.at == first.evidence[0].where.start
        await press(pilot, "less_than_sign")
        screen = pilot.app.screen
        assert isinstance(screen, FindingsScreen)
        assert screen.list.finding is first
        await press(pilot, "end")
        assert screen.list.finding is findings["QCOW-SNAP-PRESENT"]
        await press(pilot, "pageup", "tab", "tab", "home")
        assert screen.list.finding is None
        assert first in screen.list.chosen


async def test_findings_are_filtered() -> None:
    async with playing(memory_image(DAMAGED)) as pilot:
        await press(pilot, "4", "f")
        await type_text(pilot, "error l2")
        text = shown(pilot.app)
        findings = inspector(pilot).session.knowledge.findings
        shown_ones = [one for cause in causes(findings, 99) for one in cause.findings if matches(one, "error l2")]
        assert 2 <= len(shown_ones) < len(findings)
        assert f"{len(shown_ones)} of {len(findings)}" in text
        assert "QCOW-L2-EOF" in text
        assert "QCOW-RT-RESERVED" not in text
        await press(pilot, "enter", "down", "enter")
        assert explore(pilot).hex.at == shown_ones[1].evidence[0].where.start
        await press(pilot, "less_than_sign", "f")
        await type_text(pilot, "no such words")
        assert "no finding has these words" in shown(pilot.app)
        await press(pilot, "escape")
        assert "QCOW-HDR-CORRUPT" in shown(pilot.app)


async def test_nothing_to_report() -> None:
    async with playing(memory_image()) as pilot:
        session = inspector(pilot).session
        session.knowledge = replace(session.knowledge, findings=())
        await press(pilot, "4")
        assert "nothing to report" in shown(pilot.app)
        await press(pilot, "down", "enter")
        explore(pilot)


def test_words_may_stand_anywhere() -> None:
    finding = next(f for f in _findings() if f.code == "QCOW-L2-EOF")
    assert matches(finding, "")
    assert matches(finding, "past L1[0].l2[41]")
    assert not matches(finding, "past reserved")


def _findings() -> Sequence[Finding]:
    return examine(take_survey(image_of(DAMAGED), Silent()))
