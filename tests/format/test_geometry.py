"""The arithmetic of cluster sizes, held against a table that was worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.format.geometry import CLUSTER_BITS, MAX_L1_ENTRIES, MAX_REFCOUNT_TABLE, Geometry
from qcow2inspect.format.mapping import compressed_descriptor
from qcow2inspect.units import GuestOffset

K, M, G, T, P, E = (1 << shift for shift in (10, 20, 30, 40, 50, 60))

# cluster bits: L2 entries, guest bytes of an L2 table, largest disk (32 MiB L1), bits of a compressed offset, bits of
# a compressed size, largest compressed run, refcounts in a block, host bytes of a block, largest file (8 MiB table),
# guest bytes of an extended L2 table
TABLE = {
    9: (64, 32 * K, 128 * G, 61, 1, 1 * K, 256, 128 * K, 128 * G, None),
    10: (128, 128 * K, 512 * G, 60, 2, 2 * K, 512, 512 * K, 512 * G, None),
    11: (256, 512 * K, 2 * T, 59, 3, 4 * K, 1024, 2 * M, 2 * T, None),
    12: (512, 2 * M, 8 * T, 58, 4, 8 * K, 2048, 8 * M, 8 * T, None),
    13: (1024, 8 * M, 32 * T, 57, 5, 16 * K, 4096, 32 * M, 32 * T, None),
    14: (2048, 32 * M, 128 * T, 56, 6, 32 * K, 8192, 128 * M, 128 * T, 16 * M),
    15: (4096, 128 * M, 512 * T, 55, 7, 64 * K, 16384, 512 * M, 512 * T, 64 * M),
    16: (8192, 512 * M, 2 * P, 54, 8, 128 * K, 32768, 2 * G, 2 * P, 256 * M),
    17: (16384, 2 * G, 8 * P, 53, 9, 256 * K, 65536, 8 * G, 8 * P, 1 * G),
    18: (32768, 8 * G, 32 * P, 52, 10, 512 * K, 131072, 32 * G, 32 * P, 4 * G),
    19: (65536, 32 * G, 128 * P, 51, 11, 1 * M, 262144, 128 * G, 128 * P, 16 * G),
    20: (131072, 128 * G, 512 * P, 50, 12, 2 * M, 524288, 512 * G, 512 * P, 64 * G),
    21: (262144, 512 * G, 2 * E, 49, 13, 4 * M, 1048576, 2 * T, 2 * E, 256 * G),
}


def test_the_table_has_every_cluster_size() -> None:
    assert list(TABLE) == list(CLUSTER_BITS)


@pytest.mark.parametrize("bits", TABLE)
def test_geometry(bits: int) -> None:
    geometry, descriptor = Geometry(bits), compressed_descriptor(bits)
    sectors = descriptor.additional_sectors
    block_span = geometry.refcount_block_entries * geometry.cluster_size
    extended = Geometry(bits, extended_l2=True).l2_span if bits >= 14 else None
    assert (
        geometry.l2_entries,
        geometry.l2_span,
        MAX_L1_ENTRIES * geometry.l2_span,
        descriptor.host_offset.high + 1,
        sectors.high - sectors.low + 1,
        descriptor(sectors.mask).run().size,
        geometry.refcount_block_entries,
        block_span,
        MAX_REFCOUNT_TABLE // 8 * block_span,
        extended,
    ) == TABLE[bits]


@pytest.mark.parametrize(("order", "entries", "most"), [(0, 524288, 1), (3, 65536, 255), (4, 32768, 65535)])
def test_refcount_widths(order: int, entries: int, most: int) -> None:
    geometry = Geometry(16, order)
    assert (geometry.refcount_block_entries, geometry.refcount_max) == (entries, most)
    assert Geometry(16, 6).refcount_max == (1 << 64) - 1


@given(st.sampled_from(CLUSTER_BITS), st.integers(0, (1 << 61) - 1), st.booleans())
def test_indices_and_guest_ranges_are_inverse(bits: int, guest: int, extended: bool) -> None:
    geometry = Geometry(bits, extended_l2=extended)
    offset = GuestOffset(guest)
    cluster = geometry.guest_cluster(geometry.l1_index(offset), geometry.l2_index(offset))
    assert offset in cluster
    assert offset in geometry.guest_span(geometry.l1_index(offset))
    assert cluster.start % geometry.cluster_size == 0
    assert cluster.size == geometry.cluster_size
    assert geometry.subclusters * geometry.subcluster_size == geometry.cluster_size


@pytest.mark.parametrize(("size", "entries"), [(0, 0), (1, 1), (512 * M, 1), (512 * M + 1, 2), (2 * P, MAX_L1_ENTRIES)])
def test_l1_entries_of_a_disk(size: int, entries: int) -> None:
    assert Geometry(16).l1_entries(size) == entries
