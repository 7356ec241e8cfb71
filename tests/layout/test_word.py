"""Words: one declaration reads one number and a whole column, and every bit has an owner."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.layout.word import R, Word, flag, number, offset, reserved
from qcow2inspect.units import HostOffset


class Entry(Word[R]):
    copied = flag(63, "flag")
    gap = reserved(60, 62)
    where = offset(9, 59, HostOffset, "offset")
    low = number(1, 8, "number")
    zero = flag(0, "flag")


@given(st.integers(0, 2**64 - 1))
def test_make_is_the_inverse_of_values(raw: int) -> None:
    assert Entry.make(**Entry(raw).values()) == raw


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_a_column_says_the_same_as_its_entries(raws: list[int]) -> None:
    column = Entry(np.array(raws, dtype=np.uint64))
    assert list(column.copied) == [Entry(raw).copied for raw in raws]
    assert list(column.where) == [Entry(raw).where for raw in raws]
    assert list(column.low) == [Entry(raw).low for raw in raws]
    assert list(column.gap) == [Entry(raw).gap for raw in raws]


def test_offsets_keep_their_place_and_numbers_are_shifted() -> None:
    entry = Entry(0x8000_0000_0001_0007)
    assert entry.where == 0x10000
    assert isinstance(entry.where, HostOffset)
    assert entry.low == 3
    assert entry.copied
    assert entry.zero


def test_reserved_mask() -> None:
    assert Entry.RESERVED == 0x7000_0000_0000_0000


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="where cannot hold 0x1"):
        Entry.make(where=1)
    with pytest.raises(ValueError, match="low cannot hold"):
        Entry.make(low=256)
    with pytest.raises(KeyError):
        Entry.make(nothing=1)


def test_every_bit_is_declared_exactly_once() -> None:
    with pytest.raises(TypeError, match="leaves bits 0x1 undeclared"):

        class Hole(Word[R]):
            rest = reserved(1, 63)

    with pytest.raises(TypeError, match="overlaps"):

        class Twice(Word[R]):
            rest = reserved(0, 63)
            again = flag(3, "again")


def test_nodes_name_the_bits() -> None:
    nodes = Entry(0x8000_0000_0001_0001).nodes(0x40000, "L2[3]", "l2")
    assert [node.bits for node in nodes] == [(63, 63), (60, 62), (9, 59), (1, 8), (0, 0)]
    assert nodes[2].target == 0x10000
    assert nodes[2].path == "L2[3].where"
    assert all(node.where.start == 0x40000 and node.where.size == 8 for node in nodes)


def test_words_compare_and_show_their_flags() -> None:
    assert Entry(5) == Entry(5)
    assert Entry(5) != Entry(6)
    assert len({Entry(5), Entry(5)}) == 1
    assert str(Entry(1 << 63 | 1)) == "0x8000000000000001 (copied, zero)"
