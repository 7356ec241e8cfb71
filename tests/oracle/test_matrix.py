"""Every combination of cluster size, version, compression and L2 entries: what we read is what qemu-img reads."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.header import CompressionType
from qcow2inspect.image.disk import Disk
from qcow2inspect.image.image import Image
from tests.images import noise, qemu_img, qemu_io, raw_by_qemu

pytestmark = pytest.mark.oracle


@dataclass(frozen=True)
class Options:
    """One row of the matrix."""

    bits: int
    version: int
    compression: str
    extended: bool

    @property
    def cluster(self) -> int:
        return 1 << self.bits

    def layout(self, size: int) -> Layout:
        kind = CompressionType.ZSTD if self.compression == "zstd" else CompressionType.ZLIB
        return Layout(size, self.version, self.bits, compression=kind, extended_l2=self.extended)

    def __str__(self) -> str:
        name = f"{self.cluster}-v{self.version}-{self.compression}"
        return f"{name}-extended" if self.extended else name


def rows() -> list[Options]:
    found = []
    for bits, version, packed, extended in itertools.product(
        range(9, 22), (2, 3), ("none", "zlib", "zstd"), (False, True)
    ):
        impossible = (version == 2 and (extended or packed == "zstd")) or (extended and bits < 14)
        if not impossible:
            found.append(Options(bits, version, packed, extended))
    return found


CLUSTERS = 11
TAIL = 3 * 512  # what a disk may have behind its last whole cluster


def by_qemu(options: Options, size: int, path: Path) -> None:
    """Written by qemu-img and qemu-io: whole and partial writes, zeros kept and unmapped, discards, compressed."""
    asked = f"cluster_size={options.cluster},compat={'0.10' if options.version == 2 else '1.1'}"
    if options.version == 3:
        packed = "zstd" if options.compression == "zstd" else "zlib"
        asked += f",compression_type={packed},extended_l2={'on' if options.extended else 'off'}"
    qemu_img("create", "-q", "-f", "qcow2", "-o", asked, path, str(size))
    c = options.cluster
    commands = [
        f"write -q -P 0x11 0 {3 * c}",
        f"write -q -P 0x22 {c + c // 4} 512",
        f"write -q -z {2 * c} {c}",
        f"write -q -P 0x33 {4 * c} {2 * c}",
        f"write -q -z -u {4 * c} {c}",
        f"write -q -P 0x44 {6 * c + c // 2} {c // 2}",
        f"discard -q {5 * c} {c}",
        f"write -q -z {7 * c} {c}",
        f"write -q -P 0x55 {size - 512} 512",
    ]
    if options.compression != "none":
        commands += [f"write -q -c -P 0x66 {8 * c} {c}", f"write -q -c -P 0x77 {9 * c} {c}"]
    qemu_io(path, *commands)


def by_us(options: Options, size: int, path: Path) -> None:
    c = options.cluster
    clusters: dict[int, Cluster] = {0: Data(noise(1, c)), 1: Data(b"plain"), CLUSTERS - 1: Data(b"last")}
    if options.version == 3:
        clusters |= {2: Zero(b"old"), 3: Zero()}
    if options.extended:
        clusters |= {4: Subclusters(0x0000_FF00_0F0F_00FF, noise(2, c)), 5: Subclusters(0xFF << 40)}
    if options.compression != "none":
        clusters |= {8: Compressed(b"text"), 9: Compressed(noise(3, c // 4) + bytes(c)), 10: Compressed(b"packed tail")}
    if size % c:
        clusters[CLUSTERS] = Data(noise(4, c))
    path.write_bytes(build(Recipe(options.layout(size), clusters)))


MAKERS: dict[str, Callable[[Options, int, Path], None]] = {"qemu": by_qemu, "ours": by_us}


def sequential_hash(disk: Disk) -> str:
    digest = hashlib.sha256()
    for at in range(0, disk.size, 1 << 20):
        digest.update(disk.read_at(at, 1 << 20))
    return digest.hexdigest()


def compare(path: Path, seed: int, raw: bytes) -> None:
    with Image.open(path) as image:
        disk = image.active_disk()
        assert disk.size == len(raw)
        assert sequential_hash(disk) == hashlib.sha256(raw).hexdigest()
        chance = random.Random(seed)
        for _ in range(20):
            offset = chance.randrange(disk.size)
            size = chance.choice([1, 511, 4096, image.geometry.cluster_size + 1])
            assert disk.read_at(offset, size) == raw[offset : offset + size]
        for extent in disk.extents():
            if extent.reads_as_zero:
                assert raw.count(0, extent.guest.start, extent.guest.end) == extent.guest.size


@pytest.mark.parametrize("options", rows(), ids=str)
def test_cell(options: Options, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    cells = 0
    for maker, tail in itertools.product(MAKERS, {0, TAIL % options.cluster}):
        path = tmp_path / f"{maker}-{tail}.qcow2"
        MAKERS[maker](options, CLUSTERS * options.cluster + tail, path)
        raw = raw_by_qemu(path)
        assert raw is not None
        assert any(raw)
        compare(path, options.bits, raw)
        cells += 1
    record_property("cells matrix", cells)


ODD_SIZES = [1, 100, 511, 513, 65535, 65537, 1_000_001, (1 << 20) - 1]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("bits", [9, 12, 16])
def test_sizes_that_are_no_multiple_of_512(
    version: int, bits: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    for size in ODD_SIZES:
        path = tmp_path / f"{size}.qcow2"
        count = -(-size // (1 << bits))
        recipe = Recipe(
            Layout(-(-size // 512) * 512, version, bits),
            {index: Data(noise(index, 1 << bits)) for index in range(count)},
            damage={"hdr.size": size},
        )
        path.write_bytes(build(recipe))
        raw = raw_by_qemu(path)
        assert raw is not None
        with Image.open(path) as image:
            disk = image.active_disk()
            assert disk.size == len(raw) == size // 512 * 512
            assert disk.read_at(0, size) == raw
    record_property("cells odd sizes", len(ODD_SIZES))


def test_no_backing_and_preallocation(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    modes = ["off", "metadata", "falloc", "full"]
    for mode in modes:
        path = tmp_path / f"{mode}.qcow2"
        qemu_img("create", "-q", "-f", "qcow2", "-o", f"preallocation={mode}", path, "3M")
        qemu_io(path, "write -q -P 0x12 1000000 100000")
        raw = raw_by_qemu(path)
        assert raw is not None
        compare(path, 1, raw)
    record_property("cells preallocation", len(modes))


WIDTHS = [1, 2, 4, 8, 16, 32, 64]


@pytest.mark.parametrize("width", WIDTHS)
def test_refcounts_of_every_width_are_qemus(
    width: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """``qemu-img check`` finds the refcounts right; so ours must count each referenced cluster at least once."""
    path = tmp_path / "x.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"refcount_bits={width},cluster_size=4096", path, "1M")
    qemu_io(path, "write -q -P 0x12 0 300000")
    if width > 1:
        qemu_img("snapshot", "-c", "one", path)
    with Image.open(path) as image:
        disk = image.active_disk()
        for extent in disk.extents():
            if extent.host is not None:
                assert image.refcount(extent.host.start >> 12) == (1 if width == 1 else 2)
        counts = [image.refcount(cluster) for cluster in range(image.geometry.host_clusters(image.end))]
        assert counts[0] == 1
        assert max(counts) == (1 if width == 1 else 2)
    record_property("cells refcount widths", 1)
