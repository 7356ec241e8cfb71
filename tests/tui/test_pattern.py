"""Search: expressions, numbers in a range, and who points where."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Snapshot, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.image.view import View
from qcow2inspect.progress import Silent
from qcow2inspect.tui.pattern import Pattern, parse_pattern
from qcow2inspect.tui.search import find
from tests.images import image_of
from tests.tui.stage import explore, go, memory_image, playing, settle, shown, tap, type_text


def all_found(view: View, pattern: Pattern, *, backward: bool = False) -> list[int]:
    found: list[int] = []
    start, end = 0, view.size
    while (hit := find(view, pattern, start, end, backward=backward, progress=Silent()).offset) is not None:
        found.append(hit)
        start, end = (start, hit) if backward else (hit + 1, end)
    return found[::-1] if backward else found


@given(st.sampled_from([2, 4, 8]), st.booleans(), st.data())
def test_a_range_of_numbers_holds_exactly_these_numbers(size: int, little: bool, data: st.DataObject) -> None:
    any_number = st.integers(0, (1 << 8 * size) - 1) | st.integers(0, 70_000).map(lambda n: n % (1 << 8 * size))
    low, high = sorted((data.draw(any_number), data.draw(any_number)))
    near = [low, high, low - 1, high + 1, data.draw(any_number), low + 256, high - 256, (low + high) // 2]
    pattern = parse_pattern(f"{'le' if little else 'be'}{size * 8}:{low:#x}..{high}")
    for number in near:
        if 0 <= number < 1 << 8 * size:
            raw = number.to_bytes(size, "little" if little else "big")
            assert bool(pattern.regex.fullmatch(raw)) == (low <= number <= high), hex(number)
    assert pattern.size == size
    assert pattern.is_zero == (low == 0)


@pytest.mark.parametrize("text", ["re:ab{1,3}a", "re:[a-c]{2}\\x00", "re:l(o|or)em?", "be16:0x6161..0x6263", "le16:97"])
def test_search_finds_what_a_plain_look_finds(text: str) -> None:
    chance = random.Random(5)
    letters = bytes(chance.choice(b"abc\0") for _ in range(997))
    clusters: dict[int, Cluster] = {
        1: Data(letters),
        2: Zero(),
        3: Compressed(letters[::-1]),
        4: Data(b"\0" * 4000 + b"lorem"),
        6: Data(b"a"),
    }
    disk = image_of(Recipe(Layout(size=8 << 12, cluster_bits=12), clusters)).active_disk()
    pattern, data = parse_pattern(text), disk.read_at(0, disk.size)
    expected = [at for at in range(len(data)) if pattern.regex.match(data, at)]
    assert expected
    assert all_found(disk, pattern) == expected
    assert all_found(disk, pattern, backward=True) == expected


def test_a_short_match_beside_what_cannot_be_read_counts() -> None:
    recipe = Recipe(Layout(1 << 20), {1: Data(b"\0" * 65530 + b"needle"), 2: Data(b"a")},
                    damage={"L1[0].L2[2]": 1 << 63 | 0x200})  # fmt: skip
    disk = image_of(recipe).active_disk()
    assert all_found(disk, parse_pattern("re:ne{2}dle")) == [(2 << 16) - 6]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("be64:", "takes a number or a range"),
        ("be16:0x10000", "fit 2 bytes"),
        ("le32:5..4", "must go up"),
        ("re:", "write text"),
        ("re:a*", "write how often at most"),
        ("re:(a{0,9}b){0,9}", "a repetition inside a repetition"),
        ("re:[a", "no regular expression"),
        ("re:é€", "no regular expression"),
        ("re:a?", "matches nothing at all"),
        ("re:a{1,}", "write how often at most"),
    ],
)
def test_what_cannot_be_searched_says_why(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_pattern(text)


async def test_who_points_here() -> None:
    recipe = Recipe(Layout(1 << 20), {0: Data(b"a"), 1: Compressed(b"b")}, (Snapshot(b"s", {2: Data(b"c")}),))
    async with playing(memory_image(build(recipe))) as pilot:
        await go(pilot, "L1[0].L2[0].data + 77")
        await tap(pilot, "slash")
        await type_text(pilot, "->")
        assert "pointers to 0x" in shown(pilot.app)
        await tap(pilot, "enter")
        await settle(pilot)
        first = explore(pilot).hex.at
        await tap(pilot, "n")
        await settle(pilot)
        places = {explore(pilot).session.place(path) for path in ("L1[0].L2[0]", "snap[0].L1[0].L2[0]")}
        assert {first, explore(pilot).hex.at} == {int(place.offset) for place in places if place}
        await tap(pilot, "slash")
        await type_text(pilot, "-> L1")
        await tap(pilot, "enter")
        await settle(pilot)
        assert explore(pilot).node is not None
        assert getattr(explore(pilot).node, "path", "") == "hdr.l1_table_offset"
        await tap(pilot, "slash")
        await type_text(pilot, "-> nonsense")
        assert "is no address" in shown(pilot.app)
        await tap(pilot, "escape", "5", "slash")
        await type_text(pilot, "->")
        assert "searches in Explore" in shown(pilot.app)


def test_the_expression_language_of_bytes() -> None:
    assert re.fullmatch(parse_pattern("re:\\xff[\\x00-\\x0f]").regex, b"\xff\x07")
