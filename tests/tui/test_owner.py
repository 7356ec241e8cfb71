"""A byte always says what it is: the inspector, the share of explained bytes, and the way to the others."""

from __future__ import annotations

from qcow2inspect.build.recipe import Data, Recipe, Snapshot, build, patch
from qcow2inspect.build.writer import Layout
from tests.tui.stage import explore, go, inspector, memory_image, playing, settle, shown, tap

NEXT, BACK = "right_square_bracket", "left_square_bracket"


def planted() -> bytes:
    """An image with a state of before, a leaked cluster at its end, and bytes behind the L1 table."""
    recipe = Recipe(Layout(1 << 20), {0: Data(b"a"), 1: Data(b"b")}, (Snapshot(b"old", {1: Data(b"c")}),))
    data = bytearray(build(recipe))
    data[0x30100:0x30108] = b"hide me!"
    data.extend(bytes(0x10000))
    patch(data, {f"ref[{len(data) // 0x10000 - 1}]": 1})
    return bytes(data)


async def test_the_bytes_that_nothing_explains_are_walked() -> None:
    data = planted()
    leak = len(data) - 0x10000
    async with playing(memory_image(data)) as pilot:
        await tap(pilot, "2")
        await settle(pilot)
        assert f"explained {100 * (leak - 8) / len(data):.1f} %" in shown(pilot.app)
        for offset in (0x30100, leak):
            await tap(pilot, NEXT, "u")
            await settle(pilot)
            assert explore(pilot).hex.at == offset
        assert "leaked: refcount 1" in shown(pilot.app)
        await tap(pilot, NEXT, "u")
        await settle(pilot)
        assert "there is no next byte that nothing explains" in shown(pilot.app)
        await tap(pilot, BACK, "u")
        await settle(pilot)
        assert explore(pilot).hex.at == 0x30100
        assert explore(pilot).hex.marked == range(0x30100, 0x30108)
        assert "not zero, in the slack of: active L1 table" in explore(pilot).status.notice


async def test_data_says_which_guest_range_it_is_and_for_whom() -> None:
    async with playing(memory_image(planted()), size=(200, 60)) as pilot:
        place = inspector(pilot).session.place("snap[0].L1[0].L2[1].data")
        assert place is not None
        await go(pilot, f"{int(place.offset) + 5:#x}")
        words = shown(pilot.app)
        assert "guest data that only snapshots have" in words
        assert "0x10000–0x1ffff  by" in words
        assert "snap[0].L1[0].L2[1]" in words


async def test_the_border_between_states() -> None:
    async with playing(memory_image(planted())) as pilot:
        tree = inspector(pilot).session.tree
        places = {path: inspector(pilot).session.place(path) for path in ("L1[0].L2[0].data", "L1[0].L2[1].data")}
        wanted = sorted({place.offset for place in places.values() if place})
        assert tree.mappings[1].snapshot is not None
        await tap(pilot, "2")
        seen = set()
        for _ in range(12):
            await tap(pilot, NEXT, "s")
            await settle(pilot)
            seen.add(explore(pilot).hex.at)
        assert set(wanted) <= seen
        high = explore(pilot).hex.at
        await tap(pilot, BACK, "s")
        await settle(pilot)
        assert explore(pilot).hex.at == max(seen - {high})
