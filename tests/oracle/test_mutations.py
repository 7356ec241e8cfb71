"""Small images with flipped bits: where QEMU reads, we read the same; where it refuses, so do we."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator

import pytest

from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Snapshot, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import Damaged, Qcow2InspectError
from qcow2inspect.format.header import CompressionType, Header
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from tests.fuzz.oracle import Oracle
from tests.fuzz.reads import Reads
from tests.images import noise, read_all

pytestmark = pytest.mark.oracle

MIXED: dict[int, Cluster] = {
    0: Data(noise(1, 512)),
    1: Compressed(b"text " * 40),
    2: Zero(b"old"),
    3: Zero(),
    4: Data(b"d"),
    5: Compressed(noise(2, 300)),
    9: Data(noise(3, 512)),
}
OLD = {key: value for key, value in MIXED.items() if not isinstance(value, Zero)}
SUB: dict[int, Cluster] = {
    0: Subclusters(0x0000_F0F0_0000_0F0F, noise(4, 1 << 14)),
    1: Subclusters(0xFF << 36),
    2: Compressed(b"packed"),
    3: Data(b"whole"),
}
BASES = {
    "512": Recipe(Layout(64 << 10, cluster_bits=9), {**MIXED, 100: Data(b"far")}),
    "4k": Recipe(Layout(60 << 10, cluster_bits=12), MIXED),
    "v2": Recipe(Layout(60 << 10, 2, 12), OLD),
    "64k": Recipe(Layout(1 << 20), MIXED),
    "zstd": Recipe(Layout(60 << 10, cluster_bits=12, compression=CompressionType.ZSTD), MIXED),
    "extended": Recipe(Layout(128 << 10, cluster_bits=14, extended_l2=True), SUB),
    "snapshot": Recipe(Layout(60 << 10, cluster_bits=12), MIXED, (Snapshot(b"s", {0: Data(b"n"), 4: Zero()}),)),
}


@pytest.fixture(scope="module")
def reads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reads]:
    """One qemu-io for all images."""
    lasting = Reads(Oracle(tmp_path_factory.mktemp("mutated")))
    yield lasting
    lasting.qemu.close()


def outcome(data: bytes) -> bytes | Qcow2InspectError:
    try:
        return read_all(Image(MemorySource(data)).active_disk())
    except Qcow2InspectError as error:
        return error


def flipped(data: bytes, chance: random.Random, places: Iterable[int]) -> bytes:
    """One to three bits flipped in the bytes at ``places``; runs of bits now and then."""
    out, where = bytearray(data), list(places)
    for _ in range(chance.choice([1, 1, 2, 3])):
        at = chance.choice(where)
        out[at] ^= chance.choice([1 << chance.randrange(8), 0xFF, out[at]])
    return bytes(out)


def mapping_bytes(data: bytes) -> list[int]:
    """Bytes of L1 entries, of the first L2 entries in use, and of compressed streams."""
    image = Image(MemorySource(data))
    places = list(range(image.l1.at, image.l1.at + 8 * len(image.l1)))
    for index in range(len(image.l1)):
        at = image.l1[index].l2_table_offset
        if at:
            places += list(range(at, at + 12 * image.geometry.l2_entry_size)) * 4
    for extent in image.active_disk().extents():
        if extent.kind.word == "compressed" and extent.host is not None:
            places += list(range(extent.host.start, min(extent.host.start + 40, len(data))))
    return places


def judge(reads: Reads, data: bytes, what: str) -> None:
    """QEMU opens what we open, and reads every extent as we read it, or fails to."""
    assert reads.compare(data) == [], what


@pytest.mark.parametrize("chunk", range(6))
@pytest.mark.parametrize("name", BASES)
def test_flips_in_the_mapping(
    name: str, chunk: int, reads: Reads, record_property: Callable[[str, object], None]
) -> None:
    data = build(BASES[name])
    places = mapping_bytes(data)
    for seed in range(chunk * 25, chunk * 25 + 25):
        mutated = flipped(data, random.Random(seed), places)
        judge(reads, mutated, f"{name}, seed {seed}")
        got = outcome(mutated)
        assert isinstance(got, (bytes, Damaged)), f"{name}, seed {seed}: {type(got).__name__}"
    record_property("cells flipped mapping bits", 25)


# fields of the header whose odd values QEMU judges by opening other files or structures that a reader never needs
ELSEWHERE = {"backing_file_offset", "backing_file_size", "crypt_method", "nb_snapshots", "snapshots_offset", "padding"}


def header_bytes(version: int) -> list[int]:
    rows = [row for row in Header.ROWS if row.name not in ELSEWHERE and (version == 3 or row.at < 72)]
    return [at for row in rows for at in range(row.at, row.at + row.size) if row.name != "magic"]


@pytest.mark.parametrize("name", BASES)
def test_flips_in_the_header(name: str, reads: Reads, record_property: Callable[[str, object], None]) -> None:
    data = build(BASES[name])
    places = header_bytes(BASES[name].layout.version)
    for seed in range(40):
        mutated = flipped(data, random.Random(1000 + seed), places)
        if mutated[:4] == data[:4] and int.from_bytes(mutated[4:8], "big") in (2, 3):
            judge(reads, mutated, f"{name}, seed {seed}")
    record_property("cells flipped header bits", 40)
