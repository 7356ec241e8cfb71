"""Images with one planted defect each, and what their disks were before.

A defect is written into the bytes of a sound image; what the guest had is known from the recipe. Data sectors are those
that are not all zeros: only they can be lost.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Snapshot, Subclusters, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.header import CompressionType
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from tests.images import model

K = 1 << 12
SECTOR = 512


@dataclass(frozen=True)
class Damaged:
    """One image of the corpus.

    Attributes:
        name: base and defect.
        group: kind of the defect: header, L1, L2, refcounts, other structures, streams, truncation.
        data: its bytes.
        disk: what the guest had.
    """

    name: str
    group: str
    data: bytes
    disk: bytes


def _text(number: int, size: int) -> bytes:
    """Bytes that compress, differ from cluster to cluster, and have no sector of zeros."""
    words = random.Random(number).choices([b"mount", b"root", b"journal", b"%d" % number, b"inode", b"\0"], k=size // 3)
    return (b"cluster %d: " % number + b" ".join(words) * 2)[:size]


def _clusters(kind: Callable[[bytes], Cluster], spans: list[int], per_span: int, size: int) -> dict[int, Cluster]:
    """Runs of clusters at the start, and one more further on, of every span."""
    made: dict[int, Cluster] = {}
    for first in spans:
        for index in [*range(first + 2, first + per_span), first + per_span + 40]:
            made[index] = kind(_text(index, size))
    return made


@cache
def bases() -> dict[str, Recipe]:
    """The sound images."""
    spans = [0, 512, 1024, 1536]
    plain = _clusters(Data, spans, 60, K)
    packed = _clusters(Compressed, spans, 60, K)
    mixed: dict[int, Cluster] = {
        index: (Compressed if index % 3 else Data)(_text(index, 1 << 16)) for index in [*range(1, 70), 100]
    }
    small = _clusters(Data, [0, 1024], 30, 1 << 14)
    parts: dict[int, Cluster] = {index: Subclusters(0xFFFF_FFFF, cluster.data) for index, cluster in small.items()}  # type: ignore[union-attr]
    later = {index: Data(_text(9000 + index, K)) for index in (5, 6, 520, 1030)}
    return {
        "plain": Recipe(Layout(7 << 20, cluster_bits=12), plain),
        "zlib": Recipe(Layout(7 << 20, cluster_bits=12), packed),
        "zstd": Recipe(Layout(7 << 20, cluster_bits=12, compression=CompressionType.ZSTD), packed),
        "64K": Recipe(Layout(8 << 20), mixed),
        "extended": Recipe(Layout(40 << 20, cluster_bits=14, extended_l2=True), parts),
        "version 2": Recipe(Layout(7 << 20, version=2, cluster_bits=12), plain),
        "snapshot": Recipe(Layout(7 << 20, cluster_bits=12), plain, (Snapshot(b"before", later),)),
    }


class Spoiler:
    """A sound image and ways to damage it."""

    def __init__(self, recipe: Recipe) -> None:
        self.sound = build(recipe)
        self.disk = model(recipe)
        self.image = Image(MemorySource(self.sound))
        self.cluster = self.image.geometry.cluster_size
        self.l1 = int(self.image.header.l1_table_offset)
        self.rt = int(self.image.header.refcount_table_offset)
        self.rb = int(self.image.refcount_table[0].refcount_block_offset)
        self.tables = [int(entry) & ~(1 << 63) for entry in self.image.l1.column().tolist() if entry]
        self.noise = random.Random(1).randbytes(1 << 16)

    def put(self, at: int, data: bytes) -> bytes:
        return self.sound[:at] + data + self.sound[at + len(data) :]

    def number(self, at: int, size: int, value: int) -> bytes:
        return self.put(at, value.to_bytes(size, "big"))

    def entry(self, index: int) -> tuple[int, int]:
        """Where the ``index``-th used entry of the second table (or the only one) stands, and its value."""
        at = self.tables[min(1, len(self.tables) - 1)]
        used = [
            place
            for place in range(at, at + self.cluster, self.image.geometry.l2_entry_size)
            if any(self.sound[place : place + 8])
        ]
        return used[index], struct.unpack_from(">Q", self.sound, used[index])[0]

    def stream(self, index: int) -> tuple[int, int] | None:
        """Where the ``index``-th compressed stream lies, and its sectors' bytes; None if there is none."""
        runs = [e.host for e in self.image.active_disk().extents() if e.kind is ClusterType.COMPRESSED and e.host]
        return (int(runs[index].start), runs[index].size) if runs else None

    # -- defects ------------------------------------------------------------------------------------------------------

    def header(self) -> Iterator[tuple[str, bytes]]:
        """Every field broken, some in several ways."""
        cluster, end = self.cluster, len(self.sound)
        fields = [
            ("magic", 0, 4, (0, 0x514649FA)),
            ("version", 4, 4, (0, 1, 4, 1 << 31)),
            ("backing_file_offset", 8, 8, (1 << 62, cluster - 1, 3)),
            ("cluster_bits", 20, 4, (0, self.image.header.cluster_bits + 1, self.image.header.cluster_bits - 1, 255)),
            ("size", 24, 8, (0, SECTOR, 1 << 63, 1 << 50)),
            ("crypt_method", 32, 4, (1, 2, 77)),
            ("l1_size", 36, 4, (0, 1 << 30)),
            ("l1_table_offset", 40, 8, (0, self.l1 + 8, end + cluster, self.rt, self.tables[-1])),
            ("refcount_table_offset", 48, 8, (0, 77, end + cluster)),
            ("refcount_table_clusters", 56, 4, (0, 1 << 31)),
            ("nb_snapshots", 60, 4, (1 << 31,)),
            ("snapshots_offset", 64, 8, (5, 1 << 62)),
        ]
        if self.image.header.version == 3:
            fields += [
                ("incompatible_features", 72, 8, (1 << 40, self.features ^ 4, self.features ^ 8, self.features ^ 16)),
                ("refcount_order", 96, 4, (7, 1 << 31)),
                ("header_length", 100, 4, (0, 103, 1 << 31)),
                ("compression_type", 104, 1, (2, self.sound[104] ^ 1)),
                ("autoclear_features", 88, 8, (2,)),
            ]
        for name, at, size, values in fields:
            for value in values:
                yield f"{name}={value:#x}", self.number(at, size, value)

    @property
    def features(self) -> int:
        return int(self.image.header.incompatible_features.raw)

    def front(self) -> Iterator[tuple[str, bytes]]:
        """The start of the file is lost."""
        yield "first 512 bytes zeros", self.put(0, bytes(512))
        yield "first 512 bytes noise", self.put(0, self.noise[:512])
        yield "header cluster noise", self.put(0, self.noise[: self.cluster].ljust(self.cluster, b"x"))
        yield "extensions noise", self.put(112, self.noise[:400])
        yield "extension too long", self.number(116, 4, 1 << 30)
        yield "header to refcount block zeros", self.put(0, bytes(self.l1))

    def l1_table(self) -> Iterator[tuple[str, bytes]]:
        """L1 entries and the whole table."""
        at = self.l1 + 8 * min(1, len(self.tables) - 1)
        old = struct.unpack_from(">Q", self.sound, at)[0]
        for name, value in {
            "zero": 0,
            "unaligned": old + SECTOR,
            "past the end": (1 << 63) + (len(self.sound) << 4),
            "a data cluster": self.entry(0)[1] | 1 << 63,
            "the refcount block": self.rb,
            "another table": self.tables[0],
            "reserved bits": old | 1 << 60 | 4,
        }.items():
            yield f"L1 entry: {name}", self.number(at, 8, value)
        size = 8 * len(self.image.l1)
        yield "L1 table zeros", self.put(self.l1, bytes(size))
        yield "L1 table noise", self.put(self.l1, self.noise[:size])
        yield "L1 cluster noise", self.put(self.l1, self.noise[: self.cluster])

    def l2_tables(self) -> Iterator[tuple[str, bytes]]:
        """L2 tables."""
        at = self.tables[min(1, len(self.tables) - 1)]
        if len(self.tables) > 1:
            yield "L2 table zeros", self.put(at, bytes(self.cluster))
            yield "L2 table noise", self.put(at, self.noise[: self.cluster])
        yield "L2 table: first entries noise", self.put(at, self.noise[:64])
        yield "L2 table: end noise", self.put(at + self.cluster // 2, self.noise[: self.cluster // 2])

    def l2_entries(self) -> Iterator[tuple[str, bytes]]:
        """Single L2 entries."""
        at, old = self.entry(9)
        other = self.entry(20)[1]
        for name, value in {
            "zero": 0,
            "unaligned": old + 3 * SECTOR | 1 << 9,
            "past the end": (1 << 63) + (1 << 50),
            "another cluster": other,
            "the L1 table": self.l1 | 1 << 63,
            "reserved bits": old ^ 1 << 57 if not old >> 62 & 1 else old,
            "compressed": old ^ 1 << 62,
            "noise": int.from_bytes(self.noise[:8], "big") | 2,
        }.items():
            yield f"L2 entry: {name}", self.number(at, 8, value)

    def refcounts(self) -> Iterator[tuple[str, bytes]]:
        """Refcount table and blocks."""
        yield "refcount table noise", self.put(self.rt, self.noise[: self.cluster])
        yield "refcount table zeros", self.put(self.rt, bytes(self.cluster))
        yield "refcount block noise", self.put(self.rb, self.noise[: self.cluster])
        yield "refcount block zeros", self.put(self.rb, bytes(self.cluster))

    def others(self) -> Iterator[tuple[str, bytes]]:
        """Snapshot table."""
        at = int(self.image.header.snapshots_offset)
        if at:
            yield "snapshot table noise", self.put(at, self.noise[:512])
            yield "snapshot: too much extra data", self.number(at + 36, 4, 1 << 20)
            yield "snapshot: L1 table unaligned", self.number(at, 8, 77)

    def streams(self) -> Iterator[tuple[str, bytes]]:
        """Compressed streams."""
        found = self.stream(3)
        if found:
            at, size = found
            yield "stream: start", self.put(at, b"\xff" * 16)
            yield "stream: middle", self.put(at + min(size, 600) // 2, b"\xff" * 40)

    def cuts(self) -> Iterator[tuple[str, bytes]]:
        """The file ends early, or holds less than it did."""
        yield "file cut by a cluster", self.sound[: -self.cluster]
        yield "file cut by 5 %", self.sound[: len(self.sound) * 95 // 100]


GROUPS = ["header", "front", "l1_table", "l2_tables", "l2_entries", "refcounts", "others", "streams", "cuts"]

PLAN = {
    "plain": GROUPS,
    "zlib": ["front", "l1_table", "l2_tables", "l2_entries", "streams", "cuts"],
    "zstd": ["front", "l1_table", "streams"],
    "64K": ["header", "front", "streams", "l2_entries"],
    "extended": ["front", "l1_table", "l2_tables"],
    "version 2": ["front", "l1_table", "cuts"],
    "snapshot": ["front", "l1_table", "l2_tables", "others"],
}
"""Base -> the groups of defects that are planted in it."""


def corpus() -> Iterator[Damaged]:
    """All images, each with one defect."""
    for base, groups in PLAN.items():
        spoiler = Spoiler(bases()[base])
        for group in groups:
            for name, data in getattr(spoiler, group)():
                if data != spoiler.sound:
                    yield Damaged(f"{base}: {name}", group, data, spoiler.disk)
