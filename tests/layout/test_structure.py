"""Structures: parse is the inverse of encode, rows meet, odd text stays harmless."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.layout.openenum import OpenEnum
from qcow2inspect.layout.structure import Structure, blob, printable, u8, u16, u32, u64
from qcow2inspect.layout.word import R, Word, flag, reserved
from qcow2inspect.units import HostOffset, HostRange


class Colour(OpenEnum):
    RED = 0
    BLUE = 7


class Flags(Word[R]):
    odd = flag(0, "odd")
    rest = reserved(1, 63)


class Base(Structure):
    magic: int = u32(0, "magic")
    where: HostOffset = u64(4, "pointer")
    colour: Colour = u16(12, "colour")


class Longer(Base):
    flags: Flags[int] = u64(14, "flags")
    tail: int = u8(22, "tail")
    name: bytes = blob(23, 5, "name")


@given(st.binary(min_size=Longer.SIZE, max_size=Longer.SIZE))
def test_encode_is_the_inverse_of_parse(data: bytes) -> None:
    assert Longer.parse(data).encode() == data
    assert Longer.parse(Longer.parse(data).encode()) == Longer.parse(data)


def test_annotation_converts_the_number() -> None:
    parsed = Longer.parse(bytes(11) + b"\x10" + b"\0\x07" + bytes(7) + b"\x01" + b"\xff" + b"hello")
    assert parsed.where == 16
    assert isinstance(parsed.where, HostOffset)
    assert parsed.colour is Colour.BLUE
    assert parsed.flags.odd is True
    assert parsed.name == b"hello"


def test_structures_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Base.parse(bytes(14)).magic = 1  # type: ignore[misc]


def test_short_data_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 14 bytes, got 13"):
        Base.parse(bytes(13))


def test_rows_that_do_not_meet_are_refused() -> None:
    with pytest.raises(TypeError, match="second starts at byte 5, the row before ends at 4"):

        class Gap(Structure):
            first: int = u32(0, "first")
            second: int = u32(5, "second")


def test_byte_fields_must_have_their_size() -> None:
    with pytest.raises(ValueError, match="needs 5 bytes, got 2"):
        dataclasses.replace(Longer.parse(bytes(28)), name=b"xx").encode()


def test_nodes_say_where_every_byte_is_and_what_it_points_to() -> None:
    data = bytes(11) + b"\x10" + bytes(9) + b"\x01" + bytes(6)
    nodes = Longer.parse(data).nodes(0x1000, "hdr", "header")
    assert [node.where for node in nodes] == [HostRange.at(0x1000 + row.at, row.size) for row in Longer.ROWS]
    where = nodes[1]
    assert (where.path, where.target, where.shown) == ("hdr.where", 16, "0x10")
    bits = nodes[3].children()
    assert [(node.name, node.bits, node.path) for node in bits] == [
        ("rest", (1, 63), "hdr.flags.rest"),
        ("odd", (0, 0), "hdr.flags.odd"),
    ]
    assert nodes[0].is_leaf


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        (b"base.qcow2", "base.qcow2"),
        ("übung 基".encode(), "übung 基"),
        (b"a\x1b[31mred\0", "a\\x1b[31mred\\x00"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("\u202eexe".encode(), "\\u202eexe"),
        (b"back\\slash", "back\\\\slash"),
    ],
)
def test_text_from_an_image_cannot_steer_a_terminal(raw: bytes, safe: str) -> None:
    assert printable(raw) == safe


@given(st.binary())
def test_printable_text_is_always_printable(raw: bytes) -> None:
    assert printable(raw).isprintable()


@given(st.integers(0, 2**64 - 1))
def test_unknown_values_are_kept(value: int) -> None:
    assert Colour(value) == value
    assert Colour(value).known == (value in (0, 7))
    assert str(value) in Colour(value).shown
