"""The address language: what it means, and what it says when it means nothing."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Compressed, Data, Recipe, Snapshot, Zero
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import BadAddress
from qcow2inspect.image.address import resolve
from qcow2inspect.image.arithmetic import evaluate
from qcow2inspect.units import HostOffset
from tests.images import tree_of

RECIPE = Recipe(
    Layout(1 << 30, backing_name=b"base", backing_format=b"raw"),
    {0: Data(b"a"), 1: Compressed(b"b"), 2: Zero(), 8192: Data(b"z")},
    (Snapshot(b"s", {0: Data(b"n")}),),
)
TREE = tree_of(RECIPE)
DATA = int(TREE.mapped(TREE.active).l2_entry(0, 0).target or 0)
PACKED = int(TREE.mapped(TREE.active).l2_entry(0, 1).target or 0)
L2 = TREE.mapped(TREE.active).l2(0).where.start
L1 = TREE.image.header.l1_table_offset

# address, host offset, path of the node
ADDRESSES = [
    ("0", 0, "hdr.magic"),
    ("0x48", 0x48, "hdr.incompatible_features"),
    ("48h", 0x48, "hdr.incompatible_features"),
    ("72", 72, "hdr.incompatible_features"),
    ("  64K ", 65536, "rt[0]"),
    ("1GiB", 1 << 30, "c16384"),
    ("0xffffffffffffffff", (1 << 64) - 1, "c281474976710655"),
    ("c0", 0, "c0"),
    ("C2", 131072, "c2"),
    ("G0", DATA, "L1[0].L2[0].data"),
    ("g0x123", DATA + 0x123, "L1[0].L2[0].data"),
    ("G64K", PACKED, "L1[0].L2[1].data"),
    ("G0x10010", PACKED, "L1[0].L2[1].data"),
    ("G128K", L2 + 16, "L1[0].L2[2]"),
    ("G0x70000", L2 + 56, "L1[0].L2[7]"),
    ("hdr", 0, "hdr"),
    ("hdr.l1_size", 36, "hdr.l1_size"),
    ("hdr.compatible_features.lazy_refcounts", 80, "hdr.compatible_features.lazy_refcounts"),
    ("ext", 112, "ext"),
    ("ext[0]", 112, "ext[0]"),
    ("ext[0].length", 116, "ext[0].length"),
    ("ext[1].data.name[2].bit", 112 + 16 + 8 + 96 + 1, "ext[1].data.name[2].bit"),
    ("L1", L1, "L1"),
    ("L1[1]", L1 + 8, "L1[1]"),
    ("L1[0x1].copied", L1 + 8, "L1[1].copied"),
    ("L1[0].L2", L2, "L1[0].L2"),
    ("L1[0].L2[1]", L2 + 8, "L1[0].L2[1]"),
    ("L1[0].L2[1].host_offset", L2 + 8, "L1[0].L2[1].host_offset"),
    ("L1[0].L2[0].data", DATA, "L1[0].L2[0].data"),
    ("rt", 65536, "rt"),
    ("rt[0].refcount_block_offset", 65536, "rt[0].refcount_block_offset"),
    ("rb[0]", 131072, "rb[0]"),
    ("ref[3]", 131072 + 6, "ref[3]"),
    ("snap", int(TREE.image.header.snapshots_offset), "snap"),
    ("snap[0].name", int(TREE.image.header.snapshots_offset) + 40 + 24 + 1, "snap[0].name"),
    ("0x40 + 8", 72, "hdr.incompatible_features"),
    ("hdr.l1_size + 0x24", 72, "hdr.incompatible_features"),
    ("c1 - 64K + 1KiB - 1K", 0, "hdr.magic"),
    ("L1[0].L2[0].data + 0x10", DATA + 16, "L1[0].L2[0].data"),
    (
        "snap[0].L1[0].L2[0].data + 1s",
        int(TREE.mapped(TREE.mappings[1]).l2_entry(0, 0).target or 0) + 512,
        "snap[0].L1[0].L2[0].data",
    ),
    ("snap[0].L1 + 8", TREE.mappings[1].l1.at + 8, "snap[0].L1[1]"),
    ("L1[0].L2 + 8*1", L2 + 8, "L1[0].L2[1]"),
    ("L1[1].copied + 3", L1 + 11, "L1[1].copied"),
    ("hdr.magic + 1c", 65536, "rt[0]"),
    ("s128", 65536, "rt[0]"),
    ("$", int(TREE.image.end) - 1, f"c{(int(TREE.image.end) - 1) >> 16}"),
    ("Gc0", DATA, "L1[0].L2[0].data"),
    ("Gs1", DATA + 512, "L1[0].L2[0].data"),
    ("1c", 65536, "rt[0]"),
    ("2s + 1c // 128", 1536, "c0"),
    ("(1 << 16) + 3 * (8 - 0x8) | 0", 65536, "rt[0]"),
    ("0x1ffff & 0x10000 % 7 + 0x46", 0x48, "hdr.incompatible_features"),
    ("1f000", 0x1F000, "rt[7680]"),
]


@pytest.mark.parametrize(("text", "offset", "path"), ADDRESSES)
def test_addresses(text: str, offset: int, path: str) -> None:
    place = resolve(TREE, text)
    assert (place.offset, place.node.path) == (offset, path)


@pytest.mark.parametrize(
    ("text", "offset"), [("+0x40", 0x10040), ("-512", 0xFE00), ("+3c", 0x40000), ("-1s", 0xFE00), (".", 0x10000),
                         (". + 2*8", 0x10010), ("+0x48 - 1c", 0x48)]
)  # fmt: skip
def test_addresses_from_where_one_is(text: str, offset: int) -> None:
    assert resolve(TREE, text, HostOffset(0x10000)).offset == offset


@given(st.lists(st.sampled_from([*"0123456789()+-*%&|", "//", "<<", ">>", " ", "0x1f"]), max_size=12).map("".join))
def test_arithmetic_is_that_of_integers(text: str) -> None:
    with contextlib.suppress(BadAddress):
        value = evaluate(text, 65536)
        if value is not None and not re.search(r"\b0[0-9]", text):
            assert value == eval(text)


def test_the_refcount_of_what_an_entry_points_to() -> None:
    assert resolve(TREE, "L1[0].L2[0].data.ref").node.path == f"ref[{DATA >> 16}]"
    assert resolve(TREE, "snap[0].L1[0].L2[0].data.ref").node.shown == "1"
    assert resolve(TREE, "L1[1].L2[0].data.ref").node.shown == "2"


# address, what the message says
ERRORS = [
    ("", "an address is missing: try 0x30000"),
    ("   ", "an address is missing"),
    ("nothing", "“nothing” is no address: try"),
    ("hdr.nothing", "hdr has no part nothing; it has magic, version"),
    ("hdr[0]", "hdr has no part"),
    ("hdr.l1_size.x", "has no part x"),
    ("L1[2]", r"the image has 2 L1 entries; the last is L1\[1\]"),
    ("L1[x]", "“x” in “L1.x.” is no index; write a number"),
    ("L1[-1]", "no address"),
    ("L1[0].L2[8192]", "8,192 L2 entries; the last is"),
    ("L1[0].L2[2].data", "zero-plain: it has no data in this file"),
    ("L1[0].L2[5].data.ref", "has no data"),
    ("snap[1]", r"the image has snap\[0\] only"),
    ("bitmap[0]", "the image has 0 bitmaps; there are none"),
    ("luks", "no address"),
    ("rt[8192]", "refcount table entries; the last is"),
    ("rb[1]", "has no refcount block"),
    ("ref[99999999]", "no refcount block covers host cluster 99,999,999; its refcount is 0"),
    ("G1GiB", "guest offset 0x40000000 is not on the disk, which ends at 0x40000000"),
    ("0x10000000000000000", "which is no offset"),
    ("0 - 1", "is -0x1, which is no offset"),
    ("0xffffffffffffffff + 1", "which is no offset"),
    ("hdr..magic", "no address"),
    ("hdr magic", "no address"),
    ("L1[0", "no address"),
    ("[0]", "no address"),
    ("c18446744073709551616", "beyond|no offset|no address"),
    ("c" + "9" * 5000, "beyond|no offset|no address"),
    ("ext[7]", "ext has no part"),
    ("1 // 0", "divides by zero"),
    ("1 << 65", "a shift is by 0 to 64 bits"),
    ("9" * 40, "beyond any 64-bit offset"),
    ("9999999999999999999 * 99999999999999999999", "beyond any 64-bit offset"),
    ("hdr + ", "no number of bytes"),
    ("hdr * 2", "no address"),
    ("(" * 200 + "1" + ")" * 200, "no address"),
]


@pytest.mark.parametrize(("text", "message"), ERRORS)
def test_addresses_that_mean_nothing(text: str, message: str) -> None:
    with pytest.raises(BadAddress, match=message):
        resolve(TREE, text)


PIECES = st.sampled_from(
    ["L1", "L2", "hdr", "ext", "snap", "rt", "rb", "ref", "data", "bitmap", "luks", "c", "G", "[0]", "[1]", "[9]", "[",
     "]", ".", "+", "-", " ", "0", "7", "0x", "h", "K", "GiB", "size", "name", "copied", "²", "٣", "\0", "99999999999"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=12))
def test_any_text_is_an_address_or_a_bad_address(text: str) -> None:
    with contextlib.suppress(BadAddress):
        assert 0 <= resolve(TREE, text).offset < 1 << 64


def test_a_guest_offset_without_an_l1_entry() -> None:
    short = tree_of(Recipe(Layout(1 << 20), damage={"hdr.l1_size": 0}))
    with pytest.raises(BadAddress, match="guest offset 0x10000 has no L1 entry: the table has 0"):
        resolve(short, "G64K")
