"""Persistent bitmaps: what they mark, and what is wrong with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.errors import Damaged, Qcow2InspectError, Unsupported
from qcow2inspect.image.dirty import Dirty, DirtyBitmap
from qcow2inspect.progress import Cancelled
from qcow2inspect.units import GuestRange
from tests.image.bitmap_images import CLUSTER, Marks, bitmaps_of, image_with

PER_CLUSTER = 8 * CLUSTER
SIZE = 9 * PER_CLUSTER * 512 + 512 * 77  # ten clusters of bits, the last one mostly unused


def one(marks: Marks, size: int = SIZE) -> DirtyBitmap:
    return bitmaps_of(image_with(size, marks))[0]


def model(dirty: frozenset[int], granularity: int, size: int) -> list[GuestRange]:
    """The ranges, bit by bit."""
    found: list[list[int]] = []
    for bit in sorted(dirty):
        start, end = bit * granularity, min((bit + 1) * granularity, size)
        if start >= end:
            continue
        if found and found[-1][1] == start:
            found[-1][1] = end
        else:
            found.append([start, end])
    return [GuestRange.at(start, end - start) for start, end in found]


@st.composite
def bits(draw: st.DrawFn, count: int) -> frozenset[int]:
    """Single bits, long runs, whole clusters, runs over the border of clusters."""
    starts = st.integers(0, count + 20) | st.integers(0, count // PER_CLUSTER).map(lambda n: n * PER_CLUSTER)
    lengths = st.integers(1, 20) | st.sampled_from([PER_CLUSTER, 2 * PER_CLUSTER, PER_CLUSTER - 1, PER_CLUSTER + 1])
    runs = draw(st.lists(st.tuples(starts, lengths), max_size=5))
    return frozenset(bit for start, length in runs for bit in range(start, start + length))


@given(st.data(), st.booleans(), st.integers(9, 14), st.integers(0, 2000))
def test_ranges(data: st.DataObject, shortcuts: bool, granularity_bits: int, tail: int) -> None:
    size = SIZE - 512 * tail
    dirty = data.draw(bits(-(-size // (1 << granularity_bits))))
    bitmap = one(Marks(dirty=dirty, granularity_bits=granularity_bits, shortcuts=shortcuts), size)
    expected = model(dirty, 1 << granularity_bits, size)
    assert list(bitmap.dirty_ranges()) == expected
    assert bitmap.count() == Dirty(sum(part.size for part in expected), len(expected))


def test_bits_of_a_byte_are_least_significant_first() -> None:
    bitmap = one(Marks(dirty=frozenset({0, 1, 3, 8})))
    assert [(int(r.start) // 512, r.size // 512) for r in bitmap.dirty_ranges()] == [(0, 2), (3, 1), (8, 1)]


def test_a_range_longer_than_a_batch_is_one_range() -> None:
    size = 1 << 33
    bitmap = one(Marks(table=dict.fromkeys(range(3, 4000), 1)), size)
    per_entry = PER_CLUSTER * 512
    assert list(bitmap.dirty_ranges()) == [GuestRange.at(3 * per_entry, 3997 * per_entry)]
    assert bitmap.count() == Dirty(3997 * per_entry, 1)


def test_nothing_and_everything() -> None:
    assert one(Marks()).count() == Dirty(0, 0)
    whole = one(Marks(table=dict.fromkeys(range(10), 1)))
    assert list(whole.dirty_ranges()) == [GuestRange.at(0, SIZE)]
    assert whole.count() == Dirty(SIZE, 1)


def test_a_disk_of_no_bytes() -> None:
    bitmap = one(Marks(entry={"bitmap_table_size": 1, "bitmap_table_offset": CLUSTER}), 0)
    assert list(bitmap.dirty_ranges()) == []


@pytest.mark.parametrize("bits_wide", [32, 62, 63])
def test_a_bit_for_more_than_the_disk(bits_wide: int) -> None:
    bitmap = one(Marks(dirty=frozenset({0}), granularity_bits=bits_wide))
    assert list(bitmap.dirty_ranges()) == [GuestRange.at(0, SIZE)]
    assert bitmap.count() == Dirty(SIZE, 1)


def test_what_the_directory_says() -> None:
    first, second = bitmaps_of(image_with(SIZE, Marks(b"a\x1b", entry={"flags": 7}), Marks(b"b", granularity_bits=16)))
    assert (first.name, first.kind, first.granularity) == ("a\\x1b", "dirty tracking", 512)
    assert first.flags == ("in_use", "auto", "extra_data_compatible")
    assert first.notes == ("in use: it was not saved correctly, and writes may be missing",)
    assert (second.name, second.flags, second.granularity, second.notes) == ("b", (), 65536, ())


def test_notes() -> None:
    stale = bitmaps_of(image_with(SIZE, Marks(dirty=frozenset({1})), autoclear=False))[0]
    assert stale.notes[0].startswith("stale:")
    assert stale.count().ranges == 1
    odd = one(Marks(entry={"flags": 0x80}))
    assert odd.flags == ("unknown 0x80",)
    assert "does not know" in odd.notes[0]
    short = one(Marks(dirty=frozenset({1, PER_CLUSTER + 1}), entry={"flags": 1, "bitmap_table_size": 1}))
    assert "ends before the disk does" in short.notes[1]
    assert short.count().ranges == 1


def test_extra_data() -> None:
    marks = Marks(extra=b"whatever", dirty=frozenset({5}))
    with pytest.raises(Unsupported, match="8 bytes of extra data that a reader must understand"):
        one(marks).count()
    marks.entry = {"flags": 4}
    assert one(marks).count() == Dirty(512, 1)
    assert "extra data are not understood" in one(marks).notes[0]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"granularity_bits": 64}, "granularity_bits is 64"),
        ({"granularity_bits": 255}, "granularity_bits is 255"),
        ({"bitmap_table_size": 0}, "its table has no entries"),
        ({"bitmap_table_size": 9}, "it has 36,864 bits; the disk needs 36,941"),
        ({"bitmap_table_size": 0xFFFF_FFFF}, "2,199,023,255,040 bytes of data; the limit is 536,870,912"),
        ({"bitmap_table_offset": 0}, "its table lies at 0x0"),
        ({"bitmap_table_offset": 513}, "its table lies at 0x201"),
        ({"bitmap_table_offset": 1 << 60}, "past the end of the file"),
    ],
)
def test_impossible_directory_entries(fields: dict[str, int], words: str) -> None:
    damaged, sound = bitmaps_of(image_with(SIZE, Marks(b"odd", entry=fields), Marks(b"ok", frozenset({1}))))
    with pytest.raises(Damaged, match=f"bitmap “odd” .*{words}"):
        damaged.count()
    with pytest.raises(Damaged):
        next(damaged.dirty_ranges())
    assert sound.count() == Dirty(512, 1)


@pytest.mark.parametrize("kind", [0, 2, 255])
def test_unknown_types(kind: int) -> None:
    bitmap = one(Marks(entry={"type": kind}))
    assert bitmap.kind == f"unknown ({kind})"
    with pytest.raises(Unsupported, match=f"is of type {kind}"):
        bitmap.count()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (2, "is none that the specification knows"),
        (1 << 60, "is none that the specification knows"),
        (512 | 1, "is none that the specification knows"),
        (1 << 40, "points to 0x10000000000, past the end of the file"),
    ],
)
def test_impossible_table_entries(entry: int, words: str) -> None:
    bitmap = one(Marks(table={3: entry, 5: entry}))
    with pytest.raises(Damaged, match=rf"entry 3 of its table \(host 0x[0-9a-f]+, 0x[0-9a-f]+\) {words}, and 1 more"):
        bitmap.count()


def test_entries_behind_the_disk_do_not_matter() -> None:
    marks = Marks(dirty=frozenset({2}), entry={"bitmap_table_size": 40})
    assert one(marks).count() == Dirty(512, 1)


def test_the_last_cluster_may_be_cut_where_no_bit_is_needed() -> None:
    data = image_with(600 * 512, Marks(dirty=frozenset({599}), shortcuts=False))
    at = bitmaps_of(data)[0].table[0].bitmap_cluster_offset
    moved = bytearray(data)
    table = bitmaps_of(data)[0].table.at
    moved[table : table + 8] = len(data).to_bytes(8, "big")
    needed = data[at : at + 75]
    assert bitmaps_of(bytes(moved) + needed)[0].count() == Dirty(512, 1)
    with pytest.raises(Damaged, match="past the end of the file"):
        bitmaps_of(bytes(moved) + needed[:-1])[0].count()


class StopAt:
    def __init__(self, amount: int) -> None:
        self.left = amount

    def begin(self, what: str, total: int | None) -> None:
        assert what == "Reading bitmap marks"
        assert total == 10 * CLUSTER

    def advance(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise Cancelled


def test_the_user_may_stop() -> None:
    bitmap = one(Marks(dirty=frozenset(range(0, 9 * PER_CLUSTER, 7)), shortcuts=False))
    with pytest.raises(Cancelled):
        bitmap.count(StopAt(3 * CLUSTER))
    assert bitmap.count(StopAt(10 * CLUSTER)).ranges > 5000


ODD = st.integers(0, (1 << 64) - 1) | st.integers(0, 40).map(lambda n: n * CLUSTER) | st.integers(0, 3)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "bitmap_table_offset": ODD,
        "bitmap_table_size": st.integers(0, 20) | st.integers(0, 0xFFFF_FFFF),
        "flags": st.integers(0, 9) | st.integers(0, 0xFFFF_FFFF),
        "type": st.integers(0, 3),
        "granularity_bits": st.integers(0, 255),
        "name_size": st.integers(0, 9) | st.integers(0, 0xFFFF),
        "extra_data_size": st.integers(0, 9) | st.integers(0, 0xFFFF_FFFF),
    },
)


@given(ENTRY, st.dictionaries(st.integers(0, 9), ODD, max_size=4))
def test_whatever_stands_there_it_is_read_or_refused(entry: dict[str, int], table: dict[int, int]) -> None:
    marks = Marks(dirty=frozenset({1, 5000}), entry=entry, table=table)
    for bitmap in bitmaps_of(image_with(SIZE, marks)):
        try:
            dirty = bitmap.count()
        except Qcow2InspectError as error:
            assert error is bitmap.error  # noqa: PT017 - either outcome is right
            continue
        if dirty.ranges < 10_000:
            ranges = list(bitmap.dirty_ranges())
            assert dirty == Dirty(sum(part.size for part in ranges), len(ranges))
