"""Images made to exhaust a reader: what is read stays in proportion to the file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from qcow2inspect.build.recipe import Data, Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.geometry import MAX_SNAPSHOT_TABLE
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.format.snapshot import SnapshotEntry
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.units import GuestOffset, HostOffset, HostRange
from tests.images import CountingSource

M = 1 << 20


def counted(data: bytes, size: int | None = None) -> tuple[Image, CountingSource]:
    source = CountingSource(data, size)
    return Image(source), source


def aliased() -> bytes:
    """65,536 L1 entries (32 GiB for each 512 KiB table) that all point to one L2 table."""
    layout = Layout(65536 * 32768, cluster_bits=9)
    image = bytearray(build(Recipe(layout, {0: Data(b"x"), 63: Data(b"y")})))
    l1 = Image(CountingSource(bytes(image))).header.l1_table_offset
    image[l1 : l1 + 65536 * 8] = image[l1 : l1 + 8] * 65536
    return bytes(image)


def test_an_l1_table_that_points_to_one_table_again_and_again() -> None:
    image, source = counted(aliased())
    extents = sum(1 for _ in image.active_disk().extents())
    assert extents == 65536 * 3  # the first cluster of each table, nothing, the last
    assert source.bytes < 4 * M
    assert source.reads < 20


def test_reading_an_aliased_disk_here_and_there() -> None:
    image, source = counted(aliased())
    disk = image.active_disk()
    for at in range(0, disk.size, disk.size // 500):
        disk.read_at(at, 512)
    assert source.reads < 3 * 500


@pytest.mark.parametrize("bits", [9, 16, 21])
def test_a_small_file_with_the_largest_l1_table(bits: int) -> None:
    span = Layout(512, cluster_bits=bits).geometry.l2_span
    data = build(Recipe(Layout(512, cluster_bits=bits), {0: Data(b"x")}, damage={"hdr.l1_size": 4_194_304}))
    data = data[:24] + min(4_194_304 * span, (1 << 63) - 512).to_bytes(8, "big") + data[32:]
    image, source = counted(data)
    disk = image.active_disk()
    found = list(itertools.islice(disk.extents(), 200_000))
    assert int(found[-1].guest.end) <= disk.size
    assert disk.read_at(disk.size - 512, 512) == bytes(512)
    assert source.bytes < 3 * len(data) + 4 * M
    Tree(image).root.children()[2].children()
    assert source.bytes < 5 * len(data) + 4 * M


def test_a_disk_of_two_exbibytes_is_one_extent() -> None:
    layout = Layout(512, cluster_bits=21)
    data = build(Recipe(layout, damage={"hdr.size": (1 << 61) - 512, "hdr.l1_size": 4_194_304}))
    image, source = counted(data)
    (*_, last) = image.active_disk().extents()
    assert last.guest.end == (1 << 61) - 512
    assert last.past_end
    assert source.bytes < 2 * len(data)


def zeros_as_snapshots() -> bytes:
    """65,536 snapshot table entries in a row, all of them 40 zero bytes."""
    data = bytearray(build(Recipe(Layout(M, cluster_bits=9), damage={"hdr.nb_snapshots": 65536})))
    at = len(data)
    data[64:72] = at.to_bytes(8, "big")
    return bytes(data) + bytes(65536 * SnapshotEntry.SIZE)


def test_65536_snapshots_of_nothing() -> None:
    data = zeros_as_snapshots()
    image, source = counted(data)
    assert len(image.snapshots) == 65536
    assert source.bytes < 6 * len(data)
    assert source.reads < 100


def test_65536_snapshots_claimed_where_nothing_is() -> None:
    data = build(Recipe(Layout(M), damage={"hdr.nb_snapshots": 65536, "hdr.snapshots_offset": 1 << 40}))
    image, source = counted(data)
    assert image.snapshots == ()
    assert source.bytes < 1000
    assert Tree(image).locate(HostOffset(5)).path == "hdr.version"


def test_snapshots_that_all_claim_the_largest_l1_table() -> None:
    recipe = Recipe(Layout(M, cluster_bits=9), {0: Data(b"x")}, tuple(Snapshot(b"%d" % i) for i in range(200)))
    data = bytearray(build(recipe))
    for snapshot in Image(CountingSource(bytes(data))).snapshots:
        data[snapshot.at + 8 : snapshot.at + 12] = (4_194_304).to_bytes(4, "big")
    image, source = counted(bytes(data), size=1 << 40)
    Tree(image).locate(HostOffset(1 << 39))
    assert source.bytes < 200 * M


def test_a_snapshot_table_is_read_no_further_than_qemu_reads_it() -> None:
    entry = SnapshotEntry(HostOffset(0), 0, 0xFFFF, 0xFFFF, 0, 0, 0, 0, 1024).encode()
    size = -(-(len(entry) + 1024 + 2 * 0xFFFF) // 8) * 8
    data = bytearray(build(Recipe(Layout(M, cluster_bits=9), damage={"hdr.nb_snapshots": 65536})))
    at = len(data)
    data[64:72] = at.to_bytes(8, "big")
    image, _ = counted(bytes(data) + entry.ljust(size, b"\0") * (MAX_SNAPSHOT_TABLE // size + 50))
    last = image.snapshots[-1]
    assert last.at - at <= MAX_SNAPSHOT_TABLE < last.at + last.size - at
    assert [obstacle.code for obstacle in image.obstacles] == ["QCOW-SNAP-TABLE-HUGE"]


class Holey(CountingSource):
    """A source of which the file system stores some ranges."""

    def __init__(self, data: bytes, size: int, *stored: HostRange) -> None:
        super().__init__(data, size)
        self._stored = stored

    def data_ranges(self, within: HostRange) -> Iterator[HostRange]:
        yield from filter(None, (part.clip(int(within.start), int(within.end)) for part in self._stored))


@pytest.mark.parametrize("count", [1023, 1024, 100_000])
def test_l2_tables_in_holes_are_not_read_one_by_one(count: int) -> None:
    layout = Layout(512, cluster_bits=9)
    data = bytearray(build(Recipe(layout, {0: Data(b"x")})))
    table = int(Image(CountingSource(bytes(data))).l1[0].l2_table_offset)
    at, far = len(data), 1 << 32
    entries = [table | 1 << 63, *(far + index * 512 for index in range(count - 1))]
    data[24:32] = (count * 64 * 512).to_bytes(8, "big")
    data[36:48] = count.to_bytes(4, "big") + at.to_bytes(8, "big")
    data += b"".join(entry.to_bytes(8, "big") for entry in entries)
    last = far + (count - 2) * 512
    source = Holey(bytes(data), last + 512, HostRange.at(0, len(data)), HostRange.at(last + 100, 8))
    found = list(Image(source).active_disk().extents())
    assert [int(extent.kind) for extent in found] == [ClusterType.NORMAL, ClusterType.UNALLOCATED]
    assert found[-1].guest.end == count * 64 * 512
    assert not any(extent.past_end for extent in found)
    assert source.reads < (20 if count >= 1024 else count + 20)


def test_snapshot_names_of_64_kib() -> None:
    entry = SnapshotEntry(HostOffset(0), 0, 0xFFFF, 0xFFFF, 0, 0, 0, 0, 1024).encode()
    data = bytearray(build(Recipe(Layout(M, cluster_bits=9), damage={"hdr.nb_snapshots": 100})))
    data[64:72] = len(data).to_bytes(8, "big")
    table = b"".join(entry + bytes(-(-(1024 + 2 * 0xFFFF) // 8) * 8) for _ in range(100))
    image, source = counted(bytes(data) + table)
    assert len(image.snapshots) == 100
    assert source.bytes < 4 * len(table)


def test_a_refcount_table_that_claims_to_be_huge() -> None:
    data = build(Recipe(Layout(M), damage={"hdr.refcount_table_clusters": 0xFFFF_FFFF}))
    image, source = counted(data, size=1 << 60)
    assert image.refcount(0) == 1
    assert len(image.refcount_table) == M
    assert source.bytes < 1000


@pytest.mark.parametrize("count", [0xFFFF_FFFF, 65535])
def test_bitmaps_that_claim_to_be_huge(count: int) -> None:
    pointer = count.to_bytes(4, "big") + bytes(4) + (1 << 62).to_bytes(8, "big") + (1 << 20).to_bytes(8, "big")
    data = build(Recipe(Layout(M, extra_extensions=((0x23852875, pointer),))))
    image, source = counted(data.ljust(M, b"\0") + bytes(24 * 1000))
    assert len(image.bitmaps) == 1000
    assert source.bytes < 2 * M
    Tree(image).locate(HostOffset(512 << 10))
    assert source.bytes < 8 * M


def test_a_header_extension_area_of_one_cluster_full_of_records() -> None:
    tiny = Recipe(Layout(M, extra_extensions=tuple((0x12345678, b"") for _ in range(8000))))
    image, source = counted(build(tiny))
    assert len(image.extensions.extensions) >= 8000
    assert source.reads < 5


def test_a_backing_name_that_claims_four_gigabytes() -> None:
    damage: dict[str, int | bytes] = {"hdr.backing_file_offset": 0x200, "hdr.backing_file_size": 0xFFFF_FFFF}
    image, source = counted(build(Recipe(Layout(M), damage=damage)))
    assert len(image.backing_name) <= 65536
    assert source.bytes < 70000


def test_one_lookup_reads_one_entry_and_one_table() -> None:
    image, source = counted(build(Recipe(Layout(64 * M), {5: Data(b"x")})))
    disk = image.active_disk()
    before = source.reads
    disk.lookup(GuestOffset(5 * 65536))
    assert source.reads - before == 2
    disk.lookup(GuestOffset(6 * 65536))
    assert source.reads - before <= 3
