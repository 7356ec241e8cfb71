"""What the fuzzer has found, one image a finding: both sides say the same about it now, or a policy says why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import DirtyBitmap, Recipe, Snapshot, Zero, build
from tests.fuzz.drive import drive
from tests.fuzz.judge import Judge
from tests.fuzz.mutate import Case
from tests.fuzz.seeds import MIXED, SMALL, seed

pytestmark = pytest.mark.oracle

SNAPSHOTS = Recipe(SMALL, MIXED, (Snapshot(b"one"),))
BITMAPS = Recipe(SMALL, MIXED, bitmaps=(DirtyBitmap(b"daily", (0,)),))
EXTERNAL = Recipe(replace(SMALL, data_file=b"data.raw"), {3: Zero()})
BEYOND = (1 << 63) - (1 << 12)


def changed(name: str, *changes: tuple[str, int]) -> bytes:
    """A seed with other values in some of its places."""
    data = bytearray(seed(name).data)
    places = {place.path: place for place in seed(name).places}
    for path, value in changes:
        place = places[path]
        data[place.at : place.at + place.size] = value.to_bytes(place.size, "big")
    return bytes(data)


FOUND: dict[str, tuple[str, bytes, set[str]]] = {
    "the file ends behind the fields of version 3": ("4k", seed("4k").data[:104], set()),
    "the file ends in the padding of the header": ("4k", seed("4k").data[:109], set()),
    "the file ends inside a version 1 header": (
        "v1",
        seed("v1").data[:34],
        {"the header is cut off"},
    ),
    "the file ends inside a version 2 header": ("v2", seed("v2").data[:62], {"the header is cut off"}),
    "a LUKS header of negative length": (
        "luks",
        changed("luks", ("ext[0].data.length", 0x8000_0000_0000_6000)),
        set(),
    ),
    "a LUKS key slot that ends past 32 bits": (
        "luks",
        changed("luks", ("luks.slot[4].key_material_offset", 0xFFFF_FFFF)),
        set(),
    ),
    "a LUKS header that is stated too short": (
        "luks",
        changed("luks", ("ext[0].data.length", 0xFA0)),
        {"key material outside the stated length"},
    ),
    "a stale bitmaps extension of odd length": (
        "bitmaps",
        build(replace(BITMAPS, damage={"hdr.autoclear_features": 0, "ext[0].length": 32})),
        set(),
    ),
    "a snapshot's L1 table too large and too far": (
        "snapshots",
        build(replace(SNAPSHOTS, damage={"snap[0].l1_size": 1 << 30, "snap[0].l1_table_offset": BEYOND})),
        set(),
    ),
    "a bitmap table too far": (
        "bitmaps",
        build(replace(BITMAPS, damage={"bitmap[0].bitmap_table_offset": 1 << 63})),
        set(),
    ),
    "a bitmap table at the last place of a file": (
        "bitmaps",
        build(replace(BITMAPS, damage={"bitmap[0].bitmap_table_offset": (1 << 63) - (1 << 30) - (1 << 12)})),
        set(),
    ),
    "a data file without a name, of which nothing is read": (
        "data-file",
        build(replace(EXTERNAL, layout=replace(EXTERNAL.layout, data_file=b"\0\0\0\0\0\1\0\0"))),
        {"check needs no other file and no key"},
    ),
    "a data file that is not there, of which nothing is read": (
        "data-file",
        build(replace(EXTERNAL, layout=replace(EXTERNAL.layout, data_file=b"nowhere"))),
        {"check needs no other file and no key"},
    ),
    "a data file with a name that was once an address": (
        "data-file",
        build(replace(EXTERNAL, layout=replace(EXTERNAL.layout, data_file=b"file:data.raw"))),
        {"check needs no other file and no key"},
    ),
    "the end of the file in the magic of the data file's name": ("data-file", build(EXTERNAL)[:116], set()),
    "the end of the file in the name of the data file": (
        "data-file",
        build(EXTERNAL)[:123],
        {"check needs no other file and no key"},
    ),
    "a snapshot's L1 table too far": (
        "snapshots",
        build(replace(SNAPSHOTS, damage={"snap[0].l1_table_offset": BEYOND})),
        set(),
    ),
}
"""Name -> the seed that it is like, the image, and the policies that explain differences."""


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_stays_explained(name: str, tmp_path: Path) -> None:
    origin, data, policies = FOUND[name]
    with Judge(tmp_path) as judge:
        verdict = judge.judge(Case(0, seed(origin), data, name), drive(data), always=True)
    assert (verdict.read, verdict.compared, verdict.unexplained) == (True, True, [])
    assert set(verdict.policies) == policies
