"""Compare: two disks side by side, from the choice to the last difference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qcow2inspect.build.demo import demo_recipe
from qcow2inspect.build.recipe import Data, Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.image.follow import chain_of
from qcow2inspect.image.parts import Relation
from qcow2inspect.tui import comparison as model
from qcow2inspect.tui.comparison import Comparison, Side
from qcow2inspect.tui.location import ACTIVE, GuestState
from qcow2inspect.tui.screens.compare import CompareScreen
from qcow2inspect.tui.tasks.comparing import compare as run_task
from qcow2inspect.tui.tasks.running import TaskProgress
from qcow2inspect.units import GuestOffset
from tests.images import image_of
from tests.tui.stage import (
    COLOURED,
    PLAIN,
    SIZES,
    check_grid,
    compare_golden,
    go,
    guest,
    inspector,
    memory_image,
    playing,
    press,
    shown,
    type_text,
)

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from qcow2inspect.tui.theme import Look

K = 1 << 16
_ODD_SIZES = [(20, 6), (40, 12), (60, 24), (79, 33), (116, 16), (176, 20), (300, 100)]


def screen(pilot: Pilot[None]) -> CompareScreen:
    """The Compare screen, which must be in front."""
    front = pilot.app.screen
    assert isinstance(front, CompareScreen)
    return front


def striped() -> Recipe:
    """A disk of 64 clusters: in a snapshot clusters 3, 10, 11 and 40 were others."""
    now = {number: Data(b"now") for number in (3, 10, 11, 40)}
    return Recipe(Layout(64 * K), {number: Data(b"old") for number in range(64)}, (Snapshot(b"then", now),))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
async def test_golden(size: tuple[int, int], look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    async with playing(memory_image(), size=size, look=look) as pilot:
        await press(pilot, "c", "enter", "right_square_bracket", "d")
        check_grid(pilot.app, size)
        await compare_golden(pilot, f"compare-{size[0]}x{size[1]}{'-plain' if look is PLAIN else ''}")


async def test_golden_lists() -> None:
    async with playing(memory_image(build(striped())), size=(80, 24)) as pilot:
        await press(pilot, "6")
        assert "Nothing is compared yet" in shown(pilot.app)
        await press(pilot, "c", "enter", "equals_sign", "down")
        await compare_golden(pilot, "compare-list-80x24")
        await press(pilot, "t", "t")
        await compare_golden(pilot, "compare-fields-80x24")


@pytest.mark.parametrize("size", _ODD_SIZES)
async def test_every_size_works(size: tuple[int, int]) -> None:
    async with playing(memory_image(), size=size) as pilot:
        for key in ("6", "c", "enter", "tab", "pagedown", "end", "t", "down", "t", "equals_sign", "t", "x"):
            await press(pilot, key)
            check_grid(pilot.app, size)


async def test_from_one_difference_to_the_next() -> None:
    async with playing(memory_image(build(striped()))) as pilot:
        await press(pilot, "c", "enter")
        front = screen(pilot)
        for wanted in (3 * K, 10 * K, 40 * K):
            await press(pilot, "right_square_bracket", "d")
            assert (front.left.at, front.right.at) == (wanted, wanted)
            assert front.left.top == front.right.top
        assert "difference 3 of 3" in shown(pilot.app)
        await press(pilot, "right_square_bracket", "d")
        assert "there is no next difference" in shown(pilot.app)
        await press(pilot, "left_square_bracket", "d")
        assert front.left.at == 10 * K
        await press(pilot, "less_than_sign")
        assert front.left.at == 40 * K
        await go(pilot, "0x50000")
        assert (pilot.app.screen is front, front.left.at) == (True, 5 * K)
        assert "no difference here" in shown(pilot.app)
        await press(pilot, "tab", "right")
        assert (front.left.at, front.right.at) == (5 * K + 1, 5 * K + 1)
        await press(pilot, "enter")
        assert guest(pilot).hex.at == 5 * K + 1
        assert inspector(pilot).session.state == ACTIVE
        await press(pilot, "6")
        assert screen(pilot).left.at == 5 * K + 1


async def test_lists_lead_to_bytes() -> None:
    async with playing(memory_image(build(striped()))) as pilot:
        await press(pilot, "c", "enter", "equals_sign", "down")
        front = screen(pilot)
        assert [int(part.guest.start) for part in inspector(pilot).session.comparison.parts] == [3 * K, 10 * K, 40 * K]  # type: ignore[union-attr]
        assert front.list.display
        await press(pilot, "enter")
        assert (front.list.display, front.left.at) == (False, 10 * K)
        await press(pilot, "t")
        assert len(front.list.rows) == 3
        assert "mapped differently" in shown(pilot.app)
        await press(pilot, "t")
        assert "L1 table offset" in shown(pilot.app)
        fields = len(front.list.rows)
        await press(pilot, "equals_sign")
        assert 0 < len(front.list.rows) < fields
        await press(pilot, "x")
        titles = [side.title for side in inspector(pilot).session.comparison.sides]  # type: ignore[union-attr]
        assert titles == ["active state", "snapshot 1 “then”"]


async def test_with_another_file(tmp_path: Path) -> None:
    path, other = tmp_path / "one.qcow2", tmp_path / "two.raw"
    path.write_bytes(build(Recipe(Layout(4 * K), {0: Data(b"a" * K)})))
    other.write_bytes(b"a" * K + b"b" * 10 + bytes(3 * K))
    async with playing(path) as pilot:
        await press(pilot, "c")
        await type_text(pilot, str(tmp_path / "none"))
        await press(pilot, "enter")
        assert "none" in shown(pilot.app)
        assert not isinstance(pilot.app.screen, CompareScreen)
        await type_text(pilot, str(other))
        await press(pilot, "enter", "right_square_bracket", "d")
        assert screen(pilot).left.at == K
        assert "10 bytes differ" in shown(pilot.app)
        assert "two.raw, raw disk" in shown(pilot.app)
        await press(pilot, "tab", "enter")
        assert "another file" in shown(pilot.app)
        await press(pilot, "G")
        assert "past the end of the disk" in shown(pilot.app)


async def test_what_cannot_be_read_is_marked() -> None:
    damage = {"L1[0].L2[5]": 1 << 63 | 0x201000}
    then = Recipe(Layout(8 * K), {5: Data(b"x")}, (Snapshot(b"s"),), damage=damage)
    async with playing(memory_image(build(then))) as pilot:
        await press(pilot, "c", "enter", "right_square_bracket", "d")
        text = shown(pilot.app)
        assert screen(pilot).left.at == 5 * K
        assert "cannot be compared" in text
        assert "64 KiB unreadable" in text
        assert "?? ??" in text


# -- the model ----------------------------------------------------------------------------------------------------


def compared(recipe: Recipe) -> Comparison:
    chain = chain_of(image_of(recipe))
    state = GuestState("snapshot", 0, "then")
    made = Comparison(Side(chain, state, state.view(chain)), Side(chain, ACTIVE, ACTIVE.view(chain)))
    run_task(made, TaskProgress("compare", lambda _: None), lambda _: None)
    assert made.is_done
    return made


def test_more_differences_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_KEPT", 2)
    made = compared(striped())
    assert (len(made.parts), made.sums.ranges, made.known, made.reached) == (2, 3, 40 * K, 64 * K)
    found = made.near(0, 1)
    assert found is not None
    assert found.guest.start == 3 * K
    with pytest.raises(LookupError):
        made.near(10 * K, 1)
    with pytest.raises(LookupError):
        made.near(50 * K, -1)
    assert made.near(3 * K, -1) is None


async def test_a_difference_that_was_not_kept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_KEPT", 1)
    async with playing(memory_image(build(striped()))) as pilot:
        await press(pilot, "c", "enter", *(("right_square_bracket", "d") * 3))
        assert screen(pilot).left.at == 40 * K
        await press(pilot, "left_square_bracket", "d")
        assert screen(pilot).left.at == 10 * K


def test_the_map_shows_the_worst() -> None:
    made = compared(demo_recipe())
    signs = [sign for sign, _ in made.strip(2, 64)]
    assert signs[0] == "unlike"
    assert set(signs[1:]) == {"unallocated"}
    assert {sign for sign, _ in made.strip(0, 64)} >= {"normal", "compressed", "unallocated"}
    assert made.offset_of(0, 64) == 0x80000
    assert made.offset_of(3, 64) == 3 << 20
    assert made.part_at(0x7FFFF) is None
    part = made.part_at(0x80000)
    assert part is not None
    assert (part.relation, part.guest.start) == (Relation.DIFFERENT, GuestOffset(0x80000))


async def test_differences_can_be_walked_outside_of_compare() -> None:
    async with playing(memory_image(build(striped()))) as pilot:
        await press(pilot, "5", "right_square_bracket")
        assert "next difference" in shown(pilot.app)
        await press(pilot, "d")
        assert "nothing is compared yet: 6 and then c choose two disks" in shown(pilot.app)
        await press(pilot, "2", "left_square_bracket", "d")
        assert "nothing is compared yet" in shown(pilot.app)
        await press(pilot, "c", "6", "c", "enter", "5")
        await press(pilot, "right_square_bracket", "d")
        assert guest(pilot).hex.at == 3 * K
        await press(pilot, "right_square_bracket", "d", "left_square_bracket", "d")
        assert guest(pilot).hex.at == 3 * K
        await press(pilot, "left_square_bracket", "d")
        assert "there is no previous difference" in shown(pilot.app)
        await go(pilot, "L1[0].L2[20]")
        await press(pilot, "right_square_bracket", "d")
        assert screen(pilot).left.at == 40 * K


async def test_a_difference_that_is_not_known_yet_is_looked_for_from_guest() -> None:
    async with playing(memory_image(build(striped()))) as pilot:
        await press(pilot, "6", "c", "enter")
        comparison = inspector(pilot).session.comparison
        assert comparison is not None
        fresh = Comparison(*comparison.sides)
        inspector(pilot).session.comparison = fresh
        await press(pilot, "5")
        await go(pilot, "@active G0xb0000")
        await press(pilot, "right_square_bracket", "d")
        assert guest(pilot).hex.at == 40 * K
