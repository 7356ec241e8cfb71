"""Version 1: what a guest reads, what is refused, and what is distrusted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Data, Recipe
from qcow2inspect.build.writer import Layout
from qcow2inspect.cipher.aes import legacy_aes
from qcow2inspect.errors import BadStream, Damaged, NeedsFile, NeedsKey, NotQcow2, Qcow2InspectError, Unsupported
from qcow2inspect.export.plan import make_plan
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.support import Support, alone
from qcow2inspect.image.v1 import V1Image
from qcow2inspect.image.v1_disk import V1Disk
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import GuestOffset, GuestRange
from tests.image.v1_images import V1Recipe
from tests.images import CountingSource, image_of, noise, read_all

SMALL = V1Recipe(
    size=600 * 4096 + 700,
    clusters={0: noise(1, 4096), 1: noise(2, 4096), 5: b"five", 511: b"last of L1[0]", 600: noise(3, 600)},
    packed={2: b"packed" * 99, 512: b"first of L1[1]"},
)


def with_changes(recipe: V1Recipe, **changes: object) -> V1Recipe:
    return dataclasses.replace(recipe, **changes)  # type: ignore[arg-type]  # any field


def disk_of(recipe: V1Recipe, passphrase: bytes | None = None) -> V1Disk:
    image = recipe.image()
    support = alone(image)
    return V1Disk(image, support if passphrase is None else dataclasses.replace(support, cipher=legacy_aes(passphrase)))


@st.composite
def recipes(draw: st.DrawFn) -> V1Recipe:
    bits, l2_bits = draw(st.integers(9, 16)), draw(st.integers(6, 13))
    cluster = 1 << bits
    count = draw(st.integers(1, 3 << l2_bits))
    places = st.integers(0, min(count, 12) - 1) | st.integers(max(0, count - 3), count - 1)
    content = st.dictionaries(places, st.binary(max_size=9), max_size=8)
    return V1Recipe(
        size=max(2, (count - 1) * cluster + draw(st.integers(1, cluster))),
        clusters=draw(content),
        packed=draw(content),
        cluster_bits=bits,
        l2_bits=l2_bits,
        passphrase=draw(st.none() | st.binary(max_size=20)),
    )


@given(recipes())
def test_a_guest_reads_what_was_put_in(recipe: V1Recipe) -> None:
    disk = disk_of(recipe, recipe.passphrase)
    assert disk.size == recipe.size // 512 * 512
    expected = recipe.model()
    for number in {0, *recipe.clusters, *recipe.packed}:
        at = max(0, number * recipe.cluster_size - 9)
        assert disk.read_at(at, recipe.cluster_size + 30) == expected[at : at + recipe.cluster_size + 30]
    extents = list(disk.extents())
    assert [extent.guest.start for extent in extents[1:]] == [extent.guest.end for extent in extents[:-1]]
    assert sum(extent.guest.size for extent in extents) == disk.size
    if disk.size <= 1 << 20:
        assert b"".join(map(disk.read_extent, extents)) == expected


@given(recipes(), st.data())
def test_one_place_and_a_range_say_the_same(recipe: V1Recipe, data: st.DataObject) -> None:
    disk = disk_of(recipe, recipe.passphrase)
    if not disk.size:
        return
    places = [number * recipe.cluster_size for number in {**recipe.clusters, **recipe.packed}]
    spots = st.sampled_from([place for place in places if place < disk.size] or [0])
    guest = GuestOffset(data.draw(st.integers(0, disk.size - 1) | spots))
    here = disk.lookup(guest)
    around = next(extent for extent in disk.extents() if guest in extent.guest)
    assert guest in here.guest
    assert around.guest.start <= here.guest.start < here.guest.end <= around.guest.end
    assert (here.kind, here.past_end, here.readable) == (around.kind, around.past_end, around.readable)
    if around.kind is ClusterType.NORMAL:
        assert here.host is not None
        assert around.host is not None
        assert here.host.start - around.host.start == here.guest.start - around.guest.start


def test_extents() -> None:
    extents = [(int(e.guest.start) // 4096, e.kind) for e in disk_of(SMALL).extents()]
    kinds = ClusterType
    assert extents == [
        (0, kinds.NORMAL),
        (2, kinds.COMPRESSED),
        (3, kinds.UNALLOCATED),
        (5, kinds.NORMAL),
        (6, kinds.UNALLOCATED),
        (511, kinds.NORMAL),
        (512, kinds.COMPRESSED),
        (513, kinds.UNALLOCATED),
        (600, kinds.NORMAL),
    ]
    last = list(disk_of(SMALL).extents())[-1]
    assert last.guest == GuestRange.at(600 * 4096, 512)
    assert last.host is not None
    assert last.host.size == 512


def test_plain_extents_lie_as_they_are() -> None:
    disk = disk_of(SMALL)
    for extent in disk.extents():
        source = disk.plain_source(extent)
        assert (source is not None) == (extent.kind is ClusterType.NORMAL)
        if source is not None:
            assert source.read_at(extent.host_start, extent.size) == disk.read_extent(extent)


def test_an_encrypted_image_needs_its_key() -> None:
    recipe = with_changes(SMALL, passphrase=b"secret")
    locked, disk = disk_of(recipe), disk_of(recipe, b"secret")
    with pytest.raises(NeedsKey, match=r"encrypted \(AES\)"):
        locked.read_at(0, 1)
    assert locked.read_at(2 * 4096, 6) == b"packed"  # compressed clusters are never encrypted
    assert locked.read_at(3 * 4096, 6) == bytes(6)
    assert disk.read_at(700, 300) == SMALL.model()[700:1000]
    assert all(disk.plain_source(extent) is None for extent in disk.extents())
    assert isinstance(make_plan(locked).problem, NeedsKey)


# -- backing files ----------------------------------------------------------------------------------------------

OVERLAY = V1Recipe(
    size=64 * 512, clusters={1: b"overlay"}, packed={3: b"too"}, cluster_bits=9, l2_bits=12, backing=b"base \xff.qcow"
)


def test_an_overlay_without_its_backing_file() -> None:
    disk = disk_of(OVERLAY)
    assert disk.read_at(512, 7) == b"overlay"
    with pytest.raises(NeedsFile, match=r"“base \\xff.qcow”, which is not opened"):
        disk.read_at(0, 1)
    assert isinstance(make_plan(disk).problem, NeedsFile)


def test_absent_data_reads_as_zeros_where_the_user_wants_it_and_says_so() -> None:
    image = OVERLAY.image()
    disk = V1Disk(image, Support(NeedsFile("not here"), absent_as_zero=True))
    assert read_all(disk) == OVERLAY.model()
    assert [extent.absent for extent in disk.extents()] == [True, False, True, False, True]


@pytest.mark.parametrize("clusters", [1, 4, 32])
def test_an_overlay_with_its_backing_file(clusters: int) -> None:
    base = V1Recipe(size=clusters * 2048, clusters={0: noise(1, 2048)}, packed={clusters - 1: b"end"}, cluster_bits=11)
    disk = V1Disk(OVERLAY.image(), Support(disk_of(base)))
    expected = OVERLAY.model(base.model())
    assert read_all(disk) == expected
    assert b"".join(map(disk.read_extent, disk.extents())) == expected
    assert disk.read_at(500, 600) == expected[500:1100]
    assert {extent.layer for extent in disk.extents()} == {0, 1}
    assert len(disk.sources) == 2
    for extent in disk.extents():
        source = disk.plain_source(extent)
        if source is not None:
            assert source is disk.sources[extent.layer]
            assert source.read_at(extent.host_start, extent.size) == disk.read_extent(extent)


def test_a_backing_file_of_version_3() -> None:
    base = Recipe(Layout(1 << 16, cluster_bits=9), {0: Data(b"zero"), 1: Data(b"hidden"), 2: Data(b"two")})
    disk = V1Disk(OVERLAY.image(), Support(image_of(base).active_disk()))
    assert disk.read_at(0, 4) == b"zero"
    assert disk.read_at(512, 7) == b"overlay"
    assert disk.read_at(1024, 6) == b"twotwo"


def test_what_the_backing_file_cannot_give() -> None:
    disk = V1Disk(OVERLAY.image(), Support(disk_of(OVERLAY)))
    assert disk.read_at(512, 7) == b"overlay"
    with pytest.raises(NeedsFile):
        disk.read_at(0, 512)


# -- headers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("cluster_bits", 8, "9 to 16"),
        ("cluster_bits", 17, "9 to 16"),
        ("l2_bits", 5, "6 to 13"),
        ("l2_bits", 14, "6 to 13"),
    ],
)
def test_impossible_sizes(field: str, value: int, words: str) -> None:
    with pytest.raises(Damaged, match=f"{field} .* is {value}, possible are {words}"):
        with_changes(SMALL, header={field: value}).image()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"size": 1}, "QCOW-V1-SIZE"),
        ({"crypt_method": 2}, "QCOW-HDR-CRYPT"),
        ({"size": (1 << 64) - 1}, "QCOW-HDR-SIZE-HUGE"),
        ({"backing_file_offset": 48, "backing_file_size": 1024}, "QCOW-BACK-LONG"),
        ({"l1_table_offset": (1 << 63) + 8}, "QCOW-HDR-L1-OFFSET"),
    ],
)
def test_obstacles(fields: dict[str, int], code: str) -> None:
    image = with_changes(SMALL, header=fields).image()
    assert [obstacle.code for obstacle in image.obstacles] == [code]
    with pytest.raises(Damaged, match="header field"):
        image.active_disk()


def test_other_bytes_are_refused() -> None:
    data = SMALL.build()
    with pytest.raises(NotQcow2, match="cut off inside the header: it has 47 bytes"):
        V1Image(MemorySource(data[:47]))
    with pytest.raises(Unsupported, match="is 2, not 1"):
        V1Image(MemorySource(data[:7] + b"\2" + data[8:]))
    with pytest.raises(NotQcow2):
        V1Image(MemorySource(b""))


def test_an_image_is_a_file_and_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "i.qcow"
    path.write_bytes(SMALL.build())
    with V1Image.open(path) as image:
        assert image.name == str(path)
        assert image.end == path.stat().st_size
        assert read_all(image.active_disk()) == SMALL.model()
        assert read_all(image.host_file()) == path.read_bytes()
    with pytest.raises(Qcow2InspectError):
        image.read(0, 1)
    path.write_bytes(b"QFI\xfb\0\0\0\1")
    with pytest.raises(NotQcow2):
        V1Image.open(path)


# -- damage -----------------------------------------------------------------------------------------------------

END = len(SMALL.build())
PACKED = 1 << 63


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (0x200 + 1, "points to host 0x201, no multiple of 512"),
        ((1 << 63) - 512, "beyond any possible file"),
    ],
)
def test_clusters_at_impossible_places(entry: int, words: str) -> None:
    disk = disk_of(with_changes(SMALL, entries={7: entry}))
    assert disk.read_at(6 * 4096, 4096) == bytes(4096)
    with pytest.raises(Damaged, match=words):
        disk.read_at(7 * 4096, 1)
    assert disk.read_at(8 * 4096, 4096) == bytes(4096)


@pytest.mark.parametrize("entry", [PACKED, PACKED | 99 << 51 | END, PACKED | 40 << 51, (1 << 64) - 1])
def test_streams_that_do_not_inflate(entry: int) -> None:
    disk = disk_of(with_changes(SMALL, entries={7: entry}))
    with pytest.raises(BadStream, match=r"L1\[0\].L2\[7\]\) cannot be inflated"):
        disk.read_at(7 * 4096, 1)


def test_clusters_past_the_end_read_as_zeros_and_say_so() -> None:
    far = (END + 4095) // 4096 * 4096 + (1 << 30)
    disk = disk_of(with_changes(SMALL, entries={7: far, 8: far + 4096}))
    extent = disk.lookup(GuestOffset(7 * 4096))
    assert extent.past_end
    assert [e.guest.size for e in disk.extents() if e.past_end] == [8192]
    assert disk.read_extent(extent) == bytes(4096)
    locked = with_changes(SMALL, entries={7: far}, passphrase=b"x")
    assert disk_of(locked, b"x").read_at(7 * 4096, 4096) == bytes(4096)


def test_l2_tables_at_odd_places() -> None:
    disk = disk_of(with_changes(SMALL, spans={0: END + 4096, 1: 1 << 63}))
    assert disk.read_at(0, 10) == bytes(10)
    assert disk.lookup(GuestOffset(0)).past_end
    with pytest.raises(Damaged, match=r"L1\[1\] points to 0x8000000000000000, beyond any possible file"):
        disk.read_at(512 * 4096, 1)


def test_an_l1_table_past_the_end() -> None:
    disk = disk_of(with_changes(SMALL, header={"l1_table_offset": 1 << 40}))
    assert [(extent.guest.size, extent.past_end) for extent in disk.extents()] == [(disk.size, True)]


def test_a_huge_disk_costs_no_more_than_its_file() -> None:
    recipe = V1Recipe(size=1 << 20, clusters={0: b"x"}, cluster_bits=9, l2_bits=6)
    data = bytearray(recipe.build())
    data[24:32] = (1 << 42).to_bytes(8, "big")  # 134 million L1 entries
    source = CountingSource(bytes(data))
    disk = V1Image(source).active_disk()
    assert sum(extent.guest.size for extent in disk.extents()) == 1 << 42
    assert source.bytes < 3 * len(data) + 100_000
    assert source.reads < 200


ODD = st.integers(0, (1 << 64) - 1) | st.integers(0, 2 * END) | st.sampled_from([1, 512, 1 << 63, (1 << 63) - 1])


@given(st.dictionaries(st.integers(0, 600), ODD, max_size=5), st.dictionaries(st.integers(0, 1), ODD, max_size=1))
def test_whatever_the_tables_say_every_byte_is_read_or_refused(entries: dict[int, int], spans: dict[int, int]) -> None:
    disk = disk_of(with_changes(SMALL, entries=entries, spans=spans))
    extents = list(disk.extents())
    assert sum(extent.guest.size for extent in extents) == disk.size
    for extent in extents:
        if extent.error is not None:
            with pytest.raises(type(extent.error)):
                disk.read_extent(extent)
            continue
        try:
            data = disk.read_extent(extent)
        except BadStream:
            continue
        assert len(data) == extent.guest.size


@given(st.binary(min_size=40, max_size=40), st.binary(max_size=200))
def test_any_header_is_an_image_or_an_error(header: bytes, rest: bytes) -> None:
    try:
        disk = V1Image(MemorySource(b"QFI\xfb\0\0\0\1" + header + rest)).active_disk()
    except Qcow2InspectError:
        return
    for at in (0, disk.size // 2, disk.size - 1):
        if 0 <= at < disk.size:
            disk.lookup(GuestOffset(at))


@pytest.mark.parametrize(("at", "size"), [((1 << 63) - (1 << 30), 9), (1 << 63, 0), ((1 << 64) - 1, 0xFFFF_FFFF)])
def test_a_backing_name_beyond_any_file_is_not_taken_for_none(at: int, size: int) -> None:
    recipe = V1Recipe(4096, header={"backing_file_offset": at, "backing_file_size": size})
    assert [obstacle.code for obstacle in recipe.image().obstacles] == ["QCOW-BACK-OFFSET"]
    with pytest.raises(Damaged, match="beyond any possible file"):
        recipe.image().active_disk()
