"""The writer: what it writes is what QEMU would have written, and damage goes exactly where it is addressed."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Snapshot, Subclusters, Zero, build, patch
from qcow2inspect.build.writer import ImageWriter, Layout
from qcow2inspect.codec.deflate import Deflate
from qcow2inspect.errors import BadAddress
from qcow2inspect.format.header import CompressionType
from qcow2inspect.image.address import resolve
from tests.images import (
    check_by_qemu,
    damages,
    image_of,
    model,
    noise,
    qemu_img,
    read_all,
    recipes,
    tree_of,
)


class Memory:
    """Where a writer may write, in memory."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.largest = 0

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        self.data.extend(bytes(max(0, offset + len(data) - len(self.data))))
        self.data[offset : offset + len(data)] = data
        self.largest = max(self.largest, len(data))

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self.data[offset : offset + size])

    def truncate(self, size: int) -> None:
        self.data = self.data[:size].ljust(size, b"\0")


def check(path: Path, recipe: Recipe) -> None:
    """``qemu-img check`` is content and ``qemu-img compare`` sees the toy model's bytes."""
    path.write_bytes(build(recipe))
    raw = path.with_suffix(".raw")
    raw.write_bytes(model(recipe))
    assert check_by_qemu(path) == 0
    assert "identical" in qemu_img("compare", "-f", "qcow2", "-F", "raw", path, raw)


MATRIX = [
    Layout(
        (40 << bits) + 512 * 3,
        version,
        bits,
        refcount_order=order,
        compression=kind,
        extended_l2=extended,
        lazy_refcounts=version == 3 and bits == 12,
    )
    for version, bits, order, kind, extended in itertools.product(
        (2, 3), (9, 12, 14, 16), (1, 3, 4, 6), CompressionType, (False, True)
    )
    if not (version == 2 and (order != 4 or kind or extended)) and not (extended and bits < 14)
]


def _name(layout: Layout) -> str:
    name = f"v{layout.version}-{1 << layout.cluster_bits}-{1 << layout.refcount_order}bit-{layout.compression.name}"
    return name + ("-extended" if layout.extended_l2 else "")


@pytest.mark.oracle
@pytest.mark.parametrize("layout", MATRIX, ids=_name)
def test_written_images_are_sound(
    layout: Layout, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    size = layout.geometry.cluster_size
    clusters: dict[int, Cluster] = {
        0: Data(noise(1, size)),
        1: Compressed(b"ab"),
        2: Compressed(noise(2, size // 3)),
        39: Data(b"z"),
    }
    if layout.version == 3:
        clusters |= {4: Zero(b"old"), 5: Zero()}
    if layout.extended_l2:
        clusters |= {7: Subclusters(0xFF00_0000_00FF, b"sub"), 8: Subclusters(0xF << 60)}
    then: dict[int, Cluster] = {
        0: Data(b"new"),
        1: Compressed(b"other"),
        2: Data(b"unpacked"),
        39: Compressed(b"packed"),
    }
    plain = Recipe(layout, clusters)
    check(tmp_path / "plain.qcow2", plain)
    check(tmp_path / "rewritten.qcow2", dataclasses.replace(plain, snapshots=(Snapshot(b"s", then), Snapshot(b"t"))))
    record_property("cells writer", 2)


@pytest.mark.oracle
@settings(max_examples=40)
@given(recipe=recipes(wide=True))
def test_random_images_are_sound(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("sound") / "x.qcow2"
    path.write_bytes(build(recipe))
    assert check_by_qemu(path) == 0


@pytest.mark.oracle
@pytest.mark.parametrize("bits", range(9, 22))
@pytest.mark.parametrize("version", [2, 3])
def test_empty_images_of_every_cluster_size(bits: int, version: int, tmp_path: Path) -> None:
    check(tmp_path / "empty.qcow2", Recipe(Layout(1 << 20, version, bits)))


@pytest.mark.oracle
def test_a_disk_without_a_byte(tmp_path: Path) -> None:
    check(tmp_path / "nothing.qcow2", Recipe(Layout(0)))


@pytest.mark.oracle
def test_clusters_out_of_order_and_written_over(tmp_path: Path) -> None:
    """Any order of guest clusters; each of them given up and stored again."""
    count = 300
    order = [(index * 97) % count for index in range(count)]
    recipe = Recipe(
        Layout(count * 512, cluster_bits=9),
        {index: Data(b"%d " % index) for index in order},
        (Snapshot(b"s", {index: Compressed(b"%d" % index) for index in reversed(order)}),),
    )
    check(tmp_path / "x.qcow2", recipe)


@pytest.mark.oracle
@pytest.mark.parametrize("seed", [2200, 1, 2])
def test_incompressible_clusters_may_be_stored_compressed(seed: int, tmp_path: Path) -> None:
    """A stream may be longer than its cluster, wherever in a sector it starts."""
    chance = random.Random(seed // 100)
    clusters = {
        index: Compressed(noise(seed + index, chance.choice([300, 380, 420, 450, 512])) + bytes(112))
        for index in range(60)
    }
    check(tmp_path / "x.qcow2", Recipe(Layout(64 * 512, cluster_bits=9), clusters))


@pytest.mark.parametrize("start", [1, 500, 507, 508, 509, 511])
def test_a_stream_that_would_need_too_many_sectors_starts_a_new_cluster(start: int) -> None:
    target = Memory()
    writer = ImageWriter(target, Layout(64 * 512, cluster_bits=9))
    writer.put(2, bytes(512))  # now the L2 table exists and the streams follow each other
    writer.put_compressed(0, Deflate().compress(bytes(512)).ljust(start, b"\0"))
    writer.put_compressed(1, Deflate().compress(noise(1, 512)))
    writer.finish()
    assert image_of(bytes(target.data)).active_disk().read_at(0, 1024) == bytes(512) + noise(1, 512)


# -- damage -----------------------------------------------------------------------------------------------------


@given(st.data())
def test_damage_changes_exactly_the_addressed_bits(data: st.DataObject) -> None:
    recipe = data.draw(recipes())
    damage = data.draw(damages(recipe))
    before, after = build(recipe), build(dataclasses.replace(recipe, damage=damage))
    tree = tree_of(recipe)
    expected = bytearray(before)
    for address, value in damage.items():
        at = resolve(tree, address).offset
        expected[at : at + 8] = value.to_bytes(8, "big")
    assert after == bytes(expected)


# address, value, what the bytes become
BITS: list[tuple[str, int | bytes, str, int]] = [
    ("hdr.size", 0x1200, "0000000000001200", 24),
    ("hdr.compression_type", 1, "01", 104),
    ("hdr.incompatible_features.corrupt", 1, "0000000000000002", 72),
    ("hdr.incompatible_features.unknown", 0x60, "0000000000000060", 72),
    ("hdr.magic", b"QF", "514649fb", 0),
    ("hdr.version", b"\0\0\0\x09\xff", "00000009ff", 4),
    ("ref[1]", 0x1234, "1234", 131074),
    ("rt[0].reserved_low", 0x7, "0000000000020007", 65536),
]


@pytest.mark.parametrize(("address", "value", "expected", "at"), BITS)
def test_fields_bits_and_bytes(address: str, value: int | bytes, expected: str, at: int) -> None:
    before = build(Recipe(Layout(1 << 20)))
    after = build(Recipe(Layout(1 << 20), damage={address: value}))
    size = len(expected) // 2
    assert after[at : at + size].hex() == expected
    assert (after[:at], after[at + size :]) == (before[:at], before[at + size :])


@pytest.mark.parametrize("order", range(7))
def test_one_refcount_is_changed_and_not_its_neighbours(order: int) -> None:
    recipe = Recipe(Layout(1 << 20, cluster_bits=12, refcount_order=order), {0: Data(b"x")})
    before, after = image_of(recipe), image_of(dataclasses.replace(recipe, damage={"ref[2]": 0}))
    counts = [[image.refcount(cluster) for cluster in range(8)] for image in (before, after)]
    assert counts[0][2] == 1
    counts[0][2] = 0
    assert counts[0] == counts[1]


def test_all_addresses_are_those_of_the_image_before() -> None:
    damage: dict[str, int | bytes] = {"hdr.l1_table_offset": 1 << 30, "L1[0].L2[0]": 1, "L1[0]": 0}
    data = bytearray(build(Recipe(Layout(1 << 20), {0: Data(b"x")})))
    entry = resolve(tree_of(bytes(data)), "L1[0].L2[0]").offset
    patch(data, damage)
    assert data[entry : entry + 8] == b"\0\0\0\0\0\0\0\1"


@pytest.mark.parametrize(("end", "size"), [(1000, 1000), (1 << 20, 1 << 20), (None, 5 * 65536)])
def test_the_end_of_the_file(end: int | None, size: int) -> None:
    assert len(build(Recipe(Layout(1 << 20), {}, end=end))) == (size if end else len(build(Recipe(Layout(1 << 20)))))


def test_version_2_ignores_what_stands_where_version_3_has_fields() -> None:
    recipe = Recipe(Layout(1 << 20, 2, backing_format=b"raw"), {0: Data(b"x")})
    assert image_of(recipe).header.incompatible_features.raw == 0
    assert read_all(image_of(recipe).active_disk()) == model(recipe)


# -- what is refused --------------------------------------------------------------------------------------------

CONTRADICTIONS: dict[str, tuple[Callable[[], object], str]] = {
    "half a sector": (lambda: Layout(100), "no multiple of 512"),
    "negative size": (lambda: Layout(-512), "no multiple"),
    "zstd in version 2": (lambda: Layout(512, 2, compression=CompressionType.ZSTD), "version 2 has"),
    "narrow refcounts in version 2": (lambda: Layout(512, 2, refcount_order=3), "version 2 has"),
    "data file in version 2": (lambda: Layout(512, 2, data_file=b"x"), "version 2 has"),
    "too large for the clusters": (lambda: Layout(1 << 40, cluster_bits=9), "needs larger clusters"),
    "zero cluster in version 2": (lambda: build(Recipe(Layout(512, 2), {0: Zero()})), "no zero clusters"),
    "snapshot with 1-bit refcounts": (
        lambda: build(Recipe(Layout(512, refcount_order=0), {0: Data(b"x")}, (Snapshot(b"s"),))),
        "does not fit 1 bits",
    ),
    "names longer than the first cluster": (
        lambda: build(Recipe(Layout(512, cluster_bits=9, backing_name=b"x" * 500))),
        "do not fit the first cluster",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions_are_refused(name: str) -> None:
    make, message = CONTRADICTIONS[name]
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("address", ["hdr.nothing", "L1[5]", "L1[0].L2[1]", "nonsense"])
def test_damage_where_there_is_nothing(address: str) -> None:
    with pytest.raises(BadAddress):
        build(Recipe(Layout(1 << 20), damage={address: 1}))


@pytest.mark.parametrize(
    ("address", "value"),
    [("hdr.version", 1 << 32), ("hdr.incompatible_features.dirty", 2), ("L1[0].l2_table_offset", 1), ("ref[0]", 65536)],
)
def test_values_that_do_not_fit(address: str, value: int) -> None:
    with pytest.raises(OverflowError):
        build(Recipe(Layout(1 << 20), {0: Data(b"x")}, damage={address: value}))


def test_any_order_with_constant_memory() -> None:
    target = Memory()
    writer = ImageWriter(target, Layout(200 * 512, cluster_bits=9))
    for index in (0, 199, 70, 0, 199):
        writer.put(index, bytes([index]) * 512)
    writer.finish()
    disk = image_of(bytes(target.data)).active_disk()
    assert [disk.read_at(index * 512, 2) for index in (0, 70, 199)] == [b"\0\0", b"FF", b"\xc7\xc7"]
    assert target.largest <= 1024
