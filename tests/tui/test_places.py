"""Goto: every address leads to a location, and every location has an address that leads back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.widgets import Input

from qcow2inspect.build.recipe import Compressed, Data, DirtyBitmap, Recipe, Snapshot, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import BadAddress
from qcow2inspect.rules import examine
from qcow2inspect.survey.survey import take_survey
from qcow2inspect.tui.dialogs.goto import GotoDialog
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.places import completions, parse_place, text_of
from qcow2inspect.tui.session import Session
from qcow2inspect.units import GuestOffset, HostOffset
from tests.images import image_of
from tests.tui.stage import explore, guest, inspector, memory_image, playing, settle, shown, tap, type_text

RECIPE = Recipe(
    Layout(4 << 20, cluster_bits=12, backing_name=b"base", backing_format=b"raw"),
    {0: Data(b"a"), 1: Compressed(b"b"), 2: Zero(), 513: Data(b"z"), 600: Compressed(b"y")},
    (Snapshot(b"before", {0: Data(b"n"), 700: Data(b"m")}), Snapshot(b"after it")),
    bitmaps=(DirtyBitmap(b"log", dirty=(0, 3), granularity_bits=12),),
    damage={"L1[0].L2[9]": 0x123, "hdr.incompatible_features.dirty": 1},
)


def session_of_recipe() -> Session:
    image = image_of(build(RECIPE))
    session = Session.of(image)
    session.indexed = True
    session.knowledge = replace(session.knowledge, findings=examine(take_survey(image)))
    session.marks = {"a": parse_place(session, "L1[0].L2[1] + 3"), "b": parse_place(session, '@"before" 64K')}
    return session


SESSION = session_of_recipe()
END = int(SESSION.image.end)
CODES = list(dict.fromkeys(finding.code for finding in SESSION.knowledge.findings))

_INDEX = st.integers(0, 40) | st.integers(0, 1200)
_PREFIX = st.sampled_from(["", "snap[0].", "snap[1]."])
_FIELDS = st.sampled_from(["", ".copied", ".l2_table_offset", ".L2"])
_L2_PARTS = st.sampled_from(["", ".copied", ".host_cluster_offset", ".data", ".data.ref", ".compressed"])
_NUMBER = st.integers(0, END - 1)
_WRITTEN = st.one_of(
    _NUMBER.map(str),
    _NUMBER.map(hex),
    _NUMBER.map(lambda n: f"{n:x}h").map(lambda t: t if t[0].isdigit() else f"0{t}"),
    st.integers(0, END // 4096).map(lambda n: f"{n}c"),
    st.integers(0, END // 512).map(lambda n: f"{n}s"),
    st.integers(0, END // 1024).map(lambda n: f"{n}KiB"),
    st.builds(lambda a, b: f"({a} << 3) + {b} * 8", st.integers(0, END // 64), st.integers(0, 99)),
)
_STRUCTURES = st.one_of(
    st.sampled_from([*(node.path for node in SESSION.tree.top), "hdr.size", "hdr.l1_table_offset", "$"]),
    st.sampled_from([child.path for child in SESSION.tree.front.header.children()]),
    st.builds("ext[{}]{}".format, st.integers(0, 3), st.sampled_from(["", ".length", ".type"])),
    st.builds("{}L1[{}]{}".format, _PREFIX, st.integers(0, 3), _FIELDS),
    st.builds("{}L1[{}].L2[{}]{}".format, _PREFIX, st.integers(0, 2), _INDEX, _L2_PARTS),
    st.builds("{}[{}]".format, st.sampled_from(["ref", "rt", "rb", "snap", "bitmap"]), _INDEX),
    st.builds("bitmap[0].table[{}]".format, st.integers(0, 2)),
    st.builds("c{}".format, _INDEX),
    st.builds("s{}".format, _INDEX),
    st.builds("G{}{}".format, st.sampled_from(["", "c", "s"]), _INDEX),
    _WRITTEN,
)
_FURTHER = st.one_of(st.just(""), st.builds("{}{}".format, st.sampled_from([" + ", "-", " - "]), _WRITTEN))
_STATES = st.sampled_from(["active", "snap[0]", "snap[1]", '"before"', '"after it"', "snap[2]", "vm[0]"])
ADDRESSES = st.one_of(
    st.builds("{}{}".format, _STRUCTURES, _FURTHER),
    st.builds("@{} {}{}".format, _STATES, st.sampled_from(["", "G", "+"]), _WRITTEN),
    st.builds("@{} G{}{}".format, _STATES, st.sampled_from("cs"), _INDEX),
    st.builds("{}.{}".format, st.sampled_from(CODES), st.integers(1, 3)),
    st.sampled_from([*CODES, "'a", "'b", "overview:", "findings:", "+0x40", "-1s", "+2c", ".", ". + 8*2"]),
    st.builds("map: {}".format, _WRITTEN),
    st.builds("map: @{} G{}".format, st.sampled_from(["active", "snap[0]"]), st.integers(0, 1 << 27)),
)


def place(location: Location) -> Location:
    """Without what is told on arrival."""
    return replace(location, title="", size=None)


@settings(max_examples=400, deadline=None)
@given(ADDRESSES, st.sampled_from([None, Location(HostOffset(0x3008)), parse_place(SESSION, "@snap[0] 64K")]))
def test_an_address_leads_to_a_location_whose_address_leads_back(text: str, here: Location | None) -> None:
    try:
        there = place(parse_place(SESSION, text, here))
    except BadAddress:
        return
    again = text_of(SESSION, there)
    assert place(parse_place(SESSION, again)) == there
    assert text_of(SESSION, parse_place(SESSION, again, there)) == again


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("snap[0].L1[0].L2[0].data + 5", "snap[0].L1[0].L2[0].data + 0x5"),
        ("0x3", "hdr.magic + 0x3"),
        ("c1 + 0", "rt[0]"),
        ('@"before" 4c', "@snap[0] G0x4000"),
        ('snap"before".L1[0].L2[0].data + 5', "snap[0].L1[0].L2[0].data + 0x5"),
        ('snap["before"]', "snap[0]"),
        ("@active Gs3", "@active G0x600"),
        ("map: 2c", "map: 0x2000"),
        ("findings:", "findings:"),
        ("'a", "L1[0].L2[1] + 0x3"),
        ("'b", "@snap[0] G0x10000"),
        (f"{CODES[0].lower()}", text_of(SESSION, parse_place(SESSION, f"{CODES[0]}.1"))),
    ],
)
def test_addresses_as_they_are_written_again(text: str, wanted: str) -> None:
    assert text_of(SESSION, parse_place(SESSION, text)) == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("@", "after @ comes a state"),
        ("@snap[9]", r"the image has no snap\[9\]"),
        ("@nobody 3", "is no state"),
        ('@"nobody"', "no snapshot is called “nobody”; there are 2"),
        ('snap"nobody".L1[0]', "no snapshot is called “nobody”; there are 2"),
        ("@active nonsense", "is no guest offset"),
        ("@active 1GiB", "past the end of the active state, which has 4,194,304 bytes"),
        ("'z", "there is no mark “z”; marks are a, b"),
        ("QCOW-NOTHING", "no such finding"),
        (f"{CODES[0]}.999", "this image has"),
        ("map: 1TiB", "past the end of the file"),
    ],
)
def test_what_leads_nowhere_says_why(text: str, words: str) -> None:
    with pytest.raises(BadAddress, match=words):
        parse_place(SESSION, text)


def test_a_name_that_several_snapshots_have_is_refused() -> None:
    twins = replace(RECIPE, snapshots=(*RECIPE.snapshots, *[Snapshot(b"before")] * 9))
    session = Session.of(image_of(build(twins)))
    words = r"10 snapshots are called “before”: say which, snap\[0\], snap\[2\], .*\.\.\."
    for text in ('@"before" 64K', 'snap"before".L1[0]'):
        with pytest.raises(BadAddress, match=words):
            parse_place(session, text)
    assert parse_place(session, '@"after it" 64K').state.index == 1
    assert parse_place(session, "@snap[2] 64K").state.index == 2


def test_numbers_are_guest_offsets_where_the_guest_is_looked_at() -> None:
    here = Location(mode="guest", guest=GuestOffset(0x1000), state=parse_place(SESSION, "@snap[1]").state)
    for text, offset in (("0x20", 0x20), ("+1c", 0x2000), ("-1s", 0xE00), (".", 0x1000), ("Gc2", 0x2000)):
        there = parse_place(SESSION, text, here)
        assert (there.mode, there.guest, there.state) == ("guest", offset, here.state)
    assert parse_place(SESSION, "hdr.size", here).mode == "explore"


@pytest.mark.parametrize(
    ("text", "some"),
    [
        ("h", "hdr"),
        ("hdr.l1", "hdr.l1_table_offset"),
        ("L1[", "L1[0]"),
        ("L1[0].L", "L1[0].L2"),
        ("snap[0].L", "snap[0].L1"),
        ("@s", "@snap[1] "),
        ("'", "'b"),
        ("qcow-", f"qcow-{CODES[0][5:]}"),
        ("bitmap[0].t", "bitmap[0].table"),
    ],
)
def test_completion(text: str, some: str) -> None:
    found = completions(SESSION, text)
    assert some in found
    assert all(word.startswith(text) and len(word) > len(text) for word in found)


@given(ADDRESSES)
def test_completion_of_anything(text: str) -> None:
    for word in completions(SESSION, text[: len(text) // 2]):
        assert word.startswith(text[: len(text) // 2])


# -- the dialog ------------------------------------------------------------------------------------------------------


async def test_tab_completes_and_lists() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "g")
        await type_text(pilot, "hdr.ref")
        await tap(pilot, "tab")
        await settle(pilot)
        field = pilot.app.screen.query_one(Input)
        assert field.value == "hdr.refcount_"
        assert "hdr.refcount_table_offset   hdr.refcount_table_clusters" in shown(pilot.app)
        await type_text(pilot, "hdr.refcount_table_o")
        await tap(pilot, "tab")
        await settle(pilot)
        await tap(pilot, "enter")
        await settle(pilot)
        assert explore(pilot).hex.at == 48


async def test_an_empty_address_repeats_the_last_step_and_up_recalls() -> None:
    async with playing(memory_image()) as pilot:
        for address in ("0x10000", "+1s", ""):
            await tap(pilot, "g")
            await type_text(pilot, address)
            await tap(pilot, "enter")
            await settle(pilot)
        assert explore(pilot).hex.at == 0x10400
        await tap(pilot, "g", "up", "up")
        await settle(pilot)
        assert pilot.app.screen.query_one(Input).value == "0x10000"
        await tap(pilot, "enter")
        await settle(pilot)
        assert explore(pilot).hex.at == 0x10000
        assert inspector(pilot).session.typed == ["+1s", "0x10000"]


async def test_a_guest_address_leads_to_the_guest_screen() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "g")
        await type_text(pilot, "@active 24c")
        assert "active state, sector 3,072" in shown(pilot.app)
        await tap(pilot, "enter")
        await settle(pilot)
        assert guest(pilot).hex.at == 24 << 16
        await tap(pilot, "g")
        await settle(pilot)
        assert isinstance(pilot.app.screen, GotoDialog)
        await type_text(pilot, "+1c")
        await tap(pilot, "enter")
        await settle(pilot)
        assert guest(pilot).hex.at == 25 << 16
