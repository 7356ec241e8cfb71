"""The tour goes to real places of the open image."""

from __future__ import annotations

from qcow2inspect.build.recipe import build
from qcow2inspect.tui.session import Session
from qcow2inspect.tui.tour import next_stop, stops
from tests.rules import recipes
from tests.tui.stage import grid, inspector, memory_image, playing, settle, tap


async def test_each_stop_is_a_place_and_its_sentence_is_shown() -> None:
    async with playing(memory_image(), size=(120, 30)) as pilot:
        session = inspector(pilot).session
        wanted = list(stops(session))
        assert {place.mode for place, _ in wanted} == {"overview", "explore", "guest", "map"}
        for number, (place, words) in enumerate(wanted, 1):
            await tap(pilot, "f2")
            await settle(pilot)
            here = inspector(pilot).here
            assert (here.mode, here.guest) == (place.mode, place.guest)
            assert place.mode != "explore" or (here.offset, here.path) == (place.offset, place.path)
            assert any(f"{number}/{len(wanted)} {words}" in row for row in grid(pilot.app)), words
        await tap(pilot, "f2")
        await settle(pilot)
        assert any(f"1/{len(wanted)} " in row for row in grid(pilot.app))


def test_the_tour_ends_and_begins_again() -> None:
    session = Session.of(memory_image(build(recipes.SOUND)))
    titles = [next_stop(session).title for _ in stops(session)]
    assert titles[0].startswith("1/")
    assert titles[-1].endswith("(the end)")
    assert next_stop(session).title == titles[0]
    session.close()
