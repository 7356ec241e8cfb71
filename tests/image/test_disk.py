"""The active disk: one place, a range and the bytes all say the same, and it is what was written."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Compressed, Data, Recipe, Snapshot, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import BadStream, Damaged, NeedsFile, NeedsKey, Qcow2InspectError
from qcow2inspect.format.geometry import Geometry
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.disk import Disk
from qcow2inspect.image.runs import Run, RunFinder
from qcow2inspect.image.table import L2Table
from qcow2inspect.image.view import Extent
from qcow2inspect.units import GuestOffset, GuestRange, HostOffset, HostRange
from tests.images import damages, image_of, luks_area, model, read_all, read_or_error, recipes

K = 1 << 16


def disk_of(recipe: Recipe | bytes) -> Disk:
    return image_of(recipe).active_disk()


# -- the toy model ----------------------------------------------------------------------------------------------


@given(st.data())
def test_reads_give_what_was_written(data: st.DataObject) -> None:
    recipe = data.draw(recipes())
    disk, expected = disk_of(recipe), model(recipe)
    assert disk.size == recipe.layout.size
    assert read_all(disk, data.draw(st.sampled_from([1 << 20, 4096 + 17]))) == expected
    for _ in range(8):
        offset = data.draw(st.integers(0, disk.size + 10))
        size = data.draw(st.integers(0, 3 * recipe.layout.geometry.cluster_size))
        assert disk.read_at(offset, size) == expected[offset : offset + size]


@given(recipes())
def test_extents_cover_the_disk_once_and_read_as_it_does(recipe: Recipe) -> None:
    disk, expected = disk_of(recipe), model(recipe)
    at = 0
    for extent in disk.extents():
        assert extent.guest.start == at
        assert extent.guest
        at = int(extent.guest.end)
        there = expected[extent.guest.start : at]
        if extent.kind is not ClusterType.COMPRESSED:
            assert disk.read_extent(extent) == there
        if extent.reads_as_zero:
            assert not any(there)
    assert at == disk.size


@given(recipes())
def test_neighbours_that_continue_each_other_are_one_extent(recipe: Recipe) -> None:
    for one, two in pairwise(disk_of(recipe).extents()):
        if one.kind is two.kind and one.kind is not ClusterType.COMPRESSED:
            assert one.host is not None
            assert two.host is not None
            assert one.host.end != two.host.start


# -- lookup and extents -----------------------------------------------------------------------------------------


def facts(extent: Extent, part: GuestRange) -> tuple[object, ...]:
    """What an extent says of a part of it."""
    host = extent.host
    if host is not None and extent.kind is not ClusterType.COMPRESSED:
        host = HostRange.at(host.start + (part.start - extent.guest.start), part.size)
    return extent.kind, host, extent.layer, type(extent.error), extent.past_end


def agree(disk: Disk, within: GuestRange | None = None) -> None:
    """Walk the extents by lookups; in long ones only the first and the last few."""
    at = int(within.start) if within else 0
    for extent in disk.extents(within):
        assert extent.guest.start == at
        steps = 0
        while at < extent.guest.end:
            one = disk.lookup(GuestOffset(at))
            part = one.guest.clip(at, int(extent.guest.end))
            assert part.start == at
            assert part
            assert facts(one, part) == facts(extent, part), f"guest {part}"
            at = int(part.end)
            steps += 1
            if steps == 12:
                at = max(at, int(extent.guest.end) - 3 * disk.image.geometry.cluster_size)
    assert at == (min(int(within.end), disk.size) if within else disk.size)


def told(disk: Disk, within: GuestRange | None, *, columns: bool) -> list[object]:
    """Everything that the extents say, with numpy or without."""
    places = [mock.patch(f"qcow2inspect.image.{name}.columns_pay", return_value=columns) for name in ("runs", "disk")]
    with places[0], places[1]:
        return [(one.guest, *facts(one, one.guest), one.why_not) for one in disk.extents(within)]


def same_without_columns(disk: Disk, within: GuestRange | None = None) -> None:
    assert told(disk, within, columns=False) == told(disk, within, columns=True)


@given(recipes(wide=True))
def test_lookup_and_extents_agree(recipe: Recipe) -> None:
    agree(disk_of(recipe))
    same_without_columns(disk_of(recipe))


@given(st.data())
def test_lookup_and_extents_agree_in_damaged_images(data: st.DataObject) -> None:
    recipe = data.draw(recipes(wide=True))
    damage = data.draw(damages(recipe))
    image = build(dataclasses.replace(recipe, damage=damage))
    end = data.draw(st.integers(512, len(image)) | st.just(len(image)))
    disk = disk_of(image[:end])
    agree(disk)
    start = data.draw(st.integers(0, disk.size - 1))
    within = GuestRange.at(start, data.draw(st.integers(1, disk.size - start)))
    agree(disk, within)
    same_without_columns(disk)
    same_without_columns(disk, within)
    same_fate(disk, within)


def same_fate(disk: Disk, within: GuestRange) -> None:
    """Coarse extents say of each byte whether and why not it can be read, as the others do, with fewer words."""
    coarse, fine = (list(one.extents(within)) for one in (disk.coarse(), disk))
    assert len(coarse) <= len(fine)
    at = iter(coarse)
    now = next(at)
    for extent in fine:
        if extent.guest.start >= now.guest.end:
            now = next(at)
        assert now.guest.start <= extent.guest.start
        assert extent.guest.end <= now.guest.end
        assert fate(extent) == fate(now)
        if extent.readable and not extent.past_end and extent.kind is not ClusterType.COMPRESSED:
            assert facts(extent, extent.guest) == facts(now, extent.guest)


def fate(extent: Extent) -> tuple[object, ...]:
    return extent.kind, extent.layer, type(extent.error), extent.past_end, extent.absent


_LAST = (1 << 56) - K
_ENTRIES = st.sampled_from([0, 1, 2, K, K + 512, K | 1 << 63, K | 1, _LAST, _LAST - K, _LAST - 512, 1 << 62, 1 << 57])


@given(st.lists(st.tuples(_ENTRIES, st.integers(1, 4)), min_size=1, max_size=12), st.booleans(), st.booleans())
def test_runs_are_the_same_without_columns(
    parts: list[tuple[int, int]], has_data_file: bool, has_zero_flag: bool
) -> None:
    words = [(first + number * K) % (1 << 64) for first, count in parts for number in range(count)]
    geometry = Geometry(16)
    data = b"".join(word.to_bytes(8, "big") for word in words).ljust(K, b"\0")
    table = L2Table(HostOffset(0), geometry, data)
    finder = RunFinder(geometry, has_data_file, has_zero_flag, 5 * K)
    found = []
    for columns in (False, True):
        with mock.patch("qcow2inspect.image.runs.columns_pay", return_value=columns):
            runs = finder.runs(table, 0, len(words))
            found.append([cluster for run in runs for cluster in clusters_of(run)])
    assert found[0] == found[1]


def clusters_of(run: Run) -> list[tuple[int, ...]]:
    """What a run says of each of its clusters."""
    step = K if run.kind != ClusterType.COMPRESSED and run.host_size else 0
    places = range(run.start, run.start + run.size, K)
    return [(at, run.kind, run.host + step * number, run.host_size % K) for number, at in enumerate(places)]


@given(st.data())
def test_random_reads_are_slices_of_a_whole_read_in_damaged_images(data: st.DataObject) -> None:
    recipe = data.draw(recipes())
    disk = disk_of(dataclasses.replace(recipe, damage=data.draw(damages(recipe))))
    cluster = recipe.layout.geometry.cluster_size
    whole = [read_or_error(disk, at, cluster) for at in range(0, disk.size, cluster)]
    for _ in range(6):
        offset, size = data.draw(st.integers(0, disk.size - 1)), data.draw(st.integers(1, 3 * cluster))
        first, last = offset // cluster, min(offset + size, disk.size) - 1
        parts = whole[first : last // cluster + 1]
        got = read_or_error(disk, offset, size)
        if isinstance(got, bytes):
            touched = [part for part in parts if isinstance(part, bytes)]
            if len(touched) == len(parts):
                start = offset - first * cluster
                assert got == b"".join(touched)[start : start + size]
        else:
            assert any(isinstance(part, type) for part in parts)


@pytest.mark.parametrize("guest", [-1, 1 << 20, 1 << 63])
def test_lookup_outside_of_the_disk(guest: int) -> None:
    with pytest.raises(IndexError):
        disk_of(Recipe(Layout(1 << 20))).lookup(GuestOffset(guest))


def test_reading_outside_of_the_disk() -> None:
    disk = disk_of(Recipe(Layout(1 << 20), {15: Data(b"end")}))
    assert disk.read_at((1 << 20) - 2, 10) == model(Recipe(Layout(1 << 20), {15: Data(b"end")}))[-2:]
    assert disk.read_at(1 << 20, 10) == b""
    assert disk.read_at(1 << 70, 10) == b""
    with pytest.raises(ValueError, match="cannot read"):
        disk.read_at(-1, 1)


@pytest.mark.parametrize(("size", "visible"), [(100, 0), (512, 512), (67108863, 67108352)])
def test_a_size_that_is_no_multiple_of_512_is_rounded_down_as_qemu_does(size: int, visible: int) -> None:
    disk = disk_of(Recipe(Layout(-(-size // 512) * 512), {0: Data(b"x")}, damage={"hdr.size": size}))
    assert disk.size == visible
    assert sum(extent.guest.size for extent in disk.extents()) == visible
    assert len(read_all(disk)) == visible


# -- what cannot be read ----------------------------------------------------------------------------------------

ONE = Layout(8 * K)
OLD = Layout(8 * K, version=2)
SUB = Layout(8 * K, extended_l2=True)
EXTERNAL = Layout(8 * K, data_file=b"disk.raw")
OVERLAY = Layout(8 * K, backing_name=b"base\x1b.raw", backing_format=b"raw")
SIX = {index: Data(bytes([65 + index])) for index in range(6)}

# recipe, the guest clusters that cannot be read, the kind of error, what it says
LOCKED = dataclasses.replace(ONE, crypt_method=CryptMethod.LUKS, luks_header=luks_area())
BROKEN: dict[str, tuple[Recipe, range, type[Qcow2InspectError], str]] = {
    "unaligned data": (
        Recipe(ONE, SIX, damage={"L1[0].L2[2]": 0x50200}),
        range(2, 3),
        Damaged,
        "guest 0x20000..0x30000: .* host 0x50200, no multiple of the cluster size 65,536",
    ),
    "unaligned table": (
        Recipe(ONE, SIX, damage={"L1[0]": 0x40200}),
        range(8),
        Damaged,
        r"L1\[0\] at host 0x30000 points to 0x40200, no multiple",
    ),
    "zero flag in version 2": (
        Recipe(OLD, SIX, damage={"L1[0].L2[3]": 1}),
        range(3, 4),
        Damaged,
        "guest 0x30000..0x40000: .* zero flag .bit 0., which version 2 does not have",
    ),
    "zero flag with data in version 2": (
        Recipe(OLD, SIX, damage={"L1[0].L2[3].reads_as_zero": 1}),
        range(3, 4),
        Damaged,
        "zero flag",
    ),
    "contradicting bitmap": (
        Recipe(SUB, {1: Subclusters(1 << 32 | 1, b"x")}),
        range(1, 2),
        Damaged,
        "guest 0x10000..0x20000: the subcluster allocation bitmap .* contradicts itself",
    ),
    "allocated without a cluster": (
        Recipe(SUB, {1: Subclusters(1)}),
        range(1, 2),
        Damaged,
        "contradicts itself",
    ),
    "broken stream": (
        Recipe(ONE, {0: Compressed(b"ab"), 1: Compressed(b"cd")}, damage={"L1[0].L2[1].data": b"\xff" * 8}),
        range(1, 2),
        BadStream,
        r"guest 0x10000..0x20000: the compressed cluster at host 0x60000..0x60200 .L1\[0\].L2\[1\]. cannot be",
    ),
    "data file": (
        Recipe(EXTERNAL, {1: Data(b"x"), 2: Zero()}),
        range(1, 2),
        NeedsFile,
        "external data file “disk.raw”, which is not opened",
    ),
    "data file at another offset": (
        Recipe(EXTERNAL, {1: Data(b"x")}, damage={"L1[0].L2[1]": 1 << 63 | 2 * K}),
        range(1, 2),
        Damaged,
        "guest 0x10000..0x20000: .* points to 0x20000 of the external data file",
    ),
    "compressed with a data file": (
        Recipe(EXTERNAL, {1: Data(b"x")}, damage={"L1[0].L2[1]": 1 << 62 | 2 * K}),
        range(1, 2),
        Damaged,
        "a compressed cluster in an image with an external data file",
    ),
    "overlay": (Recipe(OVERLAY, {0: Data(b"x"), 2: Zero()}), range(3, 8), NeedsFile, r"backing file “base\\x1b.raw”"),
    "AES": (Recipe(dataclasses.replace(ONE, crypt_method=CryptMethod.AES), SIX), range(6), NeedsKey, "AES"),
    "LUKS": (Recipe(LOCKED, SIX), range(6), NeedsKey, "LUKS"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_errors_name_what_cannot_be_read_and_the_rest_can(name: str) -> None:
    recipe, bad, kind, message = BROKEN[name]
    disk = disk_of(recipe)
    for index in range(8):
        if index in bad:
            with pytest.raises(kind, match=message):
                disk.read_at(index * K + 100, 10)
        elif name != "overlay" or index in (0, 2):
            assert len(disk.read_at(index * K, K)) == K
    with pytest.raises(kind, match=message):
        disk.read_at(0, 8 * K)


@pytest.mark.parametrize("name", [name for name in BROKEN if name != "broken stream"])
def test_extents_know_before_anything_is_read(name: str) -> None:
    recipe, bad, kind, _ = BROKEN[name]
    for extent in disk_of(recipe).extents():
        clusters = range(extent.guest.start // K, -(-int(extent.guest.end) // K))
        if set(clusters) <= set(bad):
            assert isinstance(extent.error, kind)
            assert extent.why_not
            assert not extent.reads_as_zero


def test_an_overlay_says_what_to_do() -> None:
    with pytest.raises(NeedsFile) as caught:
        disk_of(BROKEN["overlay"][0]).read_at(4 * K, 1)
    assert "--follow" in caught.value.hint
    assert caught.value.exit_code == 66


def test_compressed_clusters_are_never_encrypted() -> None:
    layout = dataclasses.replace(ONE, crypt_method=CryptMethod.AES)
    disk = disk_of(Recipe(layout, {0: Compressed(b"plain")}, passphrase=b"secret"))
    assert disk.read_at(0, 10) == b"plainplain"
    assert disk.read_at(5 * K, 4) == bytes(4)


def test_reserved_bits_are_ignored_as_qemu_does() -> None:
    recipe = Recipe(ONE, SIX, damage={"L1[0].reserved_high": 1 << 60, "L1[0].L2[1].reserved_low": 0x1E})
    assert read_all(disk_of(recipe)) == model(recipe)


def test_extended_entries_ignore_bit_0_and_the_bitmap_of_compressed_clusters() -> None:
    layout = dataclasses.replace(SUB)
    recipe = Recipe(layout, {0: Data(b"a"), 1: Compressed(b"b")}, damage={"L1[0].L2[0].reserved_low": 1})
    damaged = bytearray(build(recipe))
    table = image_of(bytes(damaged)).l1[0].l2_table_offset
    damaged[table + 24 : table + 32] = b"\xff" * 8
    assert read_all(disk_of(bytes(damaged))) == model(recipe)


# -- the end of the file ----------------------------------------------------------------------------------------


def kinds(disk: Disk) -> list[tuple[int, int, str, bool]]:
    return [
        (int(extent.guest.start) // K, int(extent.guest.end) // K, extent.kind.word, extent.past_end)
        for extent in disk.extents()
    ]


def test_data_past_the_end_is_flagged_and_reads_as_zeros() -> None:
    whole = build(Recipe(ONE, SIX))
    data_at = image_of(whole).active_disk().lookup(GuestOffset(0)).host
    assert data_at is not None
    order = [disk_of(whole).lookup(GuestOffset(index * K)).host for index in range(6)]
    assert all(host is not None for host in order)
    cut = max(host.start for host in order if host) - K - 1
    disk = disk_of(whole[:cut])
    gone = {index for index, host in enumerate(order) if host and host.start >= cut}
    assert gone
    for index in range(6):
        extent = disk.lookup(GuestOffset(index * K))
        assert extent.past_end == (index in gone)
        assert extent.readable
        if index in gone:
            assert disk.read_at(index * K, K) == bytes(K)
    agree(disk)


def test_a_cluster_that_is_cut_in_its_middle_is_filled_up() -> None:
    whole = build(Recipe(ONE, {0: Data(b"a"), 1: Data(b"b")}))
    host = disk_of(whole).lookup(GuestOffset(K)).host
    assert host is not None
    disk = disk_of(whole[: host.start + 1000])
    assert disk.read_at(K, K) == b"b" * 1000 + bytes(K - 1000)
    assert not disk.lookup(GuestOffset(K)).past_end


@pytest.mark.parametrize("place", ["L1", "L1[0].L2"])
def test_tables_past_the_end_are_flagged(place: str) -> None:
    value: dict[str, int | bytes] = {"hdr.l1_table_offset": 1 << 40} if place == "L1" else {"L1[0]": 1 << 40}
    disk = disk_of(Recipe(ONE, SIX, damage=value))
    assert kinds(disk) == [(0, 8, "unallocated", True)]
    assert read_all(disk) == bytes(8 * K)


@pytest.mark.parametrize("cut", [0, 3, 8, 12, 16, 23, 24])
def test_an_l1_table_that_is_cut_off_anywhere(cut: int) -> None:
    layout = Layout(3 * 512 * 64, cluster_bits=9)
    image = build(Recipe(layout))
    at = image_of(image).header.l1_table_offset
    agree(disk_of(image[: at + cut]))


def test_an_encrypted_image_that_is_cut_off() -> None:
    image = build(Recipe(dataclasses.replace(ONE, crypt_method=CryptMethod.AES), SIX))
    agree(disk_of(image[: len(image) - 3 * K]))


# -- what is shared ---------------------------------------------------------------------------------------------


def test_the_active_disk_is_not_its_snapshots() -> None:
    recipe = Recipe(
        ONE, SIX, (Snapshot(b"one", {0: Data(b"new"), 1: Zero()}), Snapshot(b"two", {2: Compressed(b"pack")}))
    )
    assert read_all(disk_of(recipe)) == model(recipe)
    assert model(recipe) != model(recipe, recipe.clusters)


def test_a_compressed_cluster_is_inflated_once_for_many_reads() -> None:
    disk = disk_of(Recipe(ONE, {0: Compressed(b"abc")}))
    assert b"".join(disk.read_at(at, 64) for at in range(0, K, 64)) == model(Recipe(ONE, {0: Data(b"abc")}))[:K]
    assert len(disk._inflated) == 1
