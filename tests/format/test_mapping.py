"""L1 and L2 entries, compressed descriptors, subclusters: known values and every combination."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.format.mapping import (
    ClusterType,
    L1Entry,
    L2Entry,
    L2EntryExtended,
    classify,
    classify_column,
    compressed_descriptor,
    standard_entry,
    subcluster_type,
    subcluster_types,
)
from qcow2inspect.format.refcount import RefcountTableEntry
from qcow2inspect.format.v1 import L1EntryV1, L2EntryV1, compressed_descriptor_v1

U, ZP, ZA, N, C, UA, X = ClusterType
COPIED, PACKED = 1 << 63, 1 << 62
WORDS = st.integers(0, (1 << 64) - 1)
ODD = WORDS | st.builds(lambda a, b: 1 << a | 1 << b, st.integers(0, 63), st.integers(0, 63)) | st.just(0)


def test_masks() -> None:
    assert L1Entry.l2_table_offset.mask == 0x00FF_FFFF_FFFF_FE00
    assert L1Entry.RESERVED == 0x7F00_0000_0000_01FF
    assert L2Entry.host_cluster_offset.mask == 0x00FF_FFFF_FFFF_FE00
    assert L2Entry.RESERVED == 0x3F00_0000_0000_01FE
    assert L2EntryExtended.RESERVED == 0x3F00_0000_0000_01FF
    assert RefcountTableEntry.refcount_block_offset.mask == 0xFFFF_FFFF_FFFF_FE00
    assert L1EntryV1.RESERVED == L2EntryV1.RESERVED == 0


# (cluster bits, entry, host offset, sectors, bytes): entries of images that QEMU wrote, their streams inflate
WRITTEN_BY_QEMU = [
    (16, 0x4700000000053869, 0x53869, 29, 14743),
    (12, 0x4800000000005435, 0x5435, 3, 3 * 512 - 0x35),
    (9, 0x6000000000000B94, 0xB94, 2, 2 * 512 - 0x194),
    (21, 0x46EC000000A00000, 0xA00000, 887, 887 * 512),
]


@pytest.mark.parametrize(("bits", "raw", "at", "sectors", "size"), WRITTEN_BY_QEMU)
def test_compressed_descriptors_written_by_qemu(bits: int, raw: int, at: int, sectors: int, size: int) -> None:
    entry = compressed_descriptor(bits)(raw)
    assert (entry.host_offset, entry.additional_sectors + 1, entry.run().size) == (at, sectors, size)
    assert entry.compressed
    assert not entry.copied
    assert classify(raw) is C


@given(st.integers(9, 21), st.integers(0, 1 << 40), st.integers(1, 1 << 20))
def test_a_run_holds_the_stream_and_ends_with_its_last_sector(bits: int, at: int, length: int) -> None:
    length = min(length, (1 << bits) + 100)
    sectors = (at + length - 1) // 512 - at // 512
    kind = compressed_descriptor(bits)
    if sectors > kind.additional_sectors.mask >> kind.additional_sectors.low:
        return
    run = kind(kind.make(compressed=1, additional_sectors=sectors, host_offset=at)).run()
    assert run.start == at
    assert run.end % 512 == 0
    assert 0 <= run.end - (at + length) < 512


def test_compressed_descriptor_of_version_1() -> None:
    entry = compressed_descriptor_v1(12)(0xA1A8000000002000)
    assert entry.compressed
    assert (entry.host_offset, entry.compressed_size) == (0x2000, 1077)
    assert (entry.run().start, entry.run().size) == (0x2000, 1077)


def test_both_descriptor_factories_remember_their_classes() -> None:
    assert compressed_descriptor(16) is compressed_descriptor(16)
    assert compressed_descriptor_v1(12) is compressed_descriptor_v1(12)
    assert standard_entry(True) is L2EntryExtended
    assert standard_entry(False) is L2Entry


# raw, then the type: standard, with extended L2 entries, with an external data file
ENTRIES = [
    (0, U, U, U),
    (1, ZP, U, ZP),
    (0x50000, N, N, N),
    (0x50001, ZA, N, ZA),
    (COPIED | 0x50000, N, N, N),
    (COPIED | 0x50001, ZA, N, ZA),
    (COPIED, U, U, N),
    (COPIED | 1, ZP, U, ZP),
    (PACKED, C, C, C),
    (PACKED | 1, C, C, C),
    (COPIED | PACKED | 0x50000, C, C, C),
    (0x3F00_0000_0000_01FE, U, U, U),
    (0x00FF_FFFF_FFFF_FE00, N, N, N),
]


@pytest.mark.parametrize(("raw", "standard", "extended", "external"), ENTRIES)
def test_classify(raw: int, standard: ClusterType, extended: ClusterType, external: ClusterType) -> None:
    assert classify(raw) is standard
    assert classify(raw, extended_l2=True) is extended
    assert classify(raw, data_file=True) is external


@given(st.lists(ODD, min_size=1), st.booleans(), st.booleans())
def test_a_column_is_classified_like_its_entries(raws: list[int], extended: bool, external: bool) -> None:
    column = classify_column(np.array(raws, dtype=np.uint64), extended_l2=extended, data_file=external)
    assert column.tolist() == [classify(raw, extended_l2=extended, data_file=external) for raw in raws]


def by_the_book(entry: ClusterType, bitmap: int, index: int) -> ClusterType:
    """The table of the specification, line by line."""
    allocated = [bool(bitmap >> i & 1) for i in range(32)]
    zero = [bool(bitmap >> (32 + i) & 1) for i in range(32)]
    if entry is C:
        return C
    if entry is U and any(allocated):
        return X
    if entry is N and any(a and z for a, z in zip(allocated, zero, strict=True)):
        return X
    table = {
        (N, False, False): UA,
        (N, False, True): N,
        (N, True, False): ZA,
        (U, False, False): U,
        (U, True, False): ZP,
    }
    return table[entry, zero[index], allocated[index]]


@given(st.sampled_from([N, U, C]), ODD | st.integers(0, 0xFFFF_FFFF).map(lambda half: half << 32))
def test_subclusters(entry: ClusterType, bitmap: int) -> None:
    kinds = [by_the_book(entry, bitmap, index) for index in range(32)]
    assert [subcluster_type(entry, bitmap, index) for index in range(32)] == kinds
    runs = subcluster_types(entry, bitmap)
    assert [kind for kind, first, stop in runs for _ in range(first, stop)] == kinds
    assert all(before[0] is not after[0] for before, after in pairwise(runs))


def test_every_type_has_a_word() -> None:
    assert len({kind.word for kind in ClusterType}) == len(ClusterType)
