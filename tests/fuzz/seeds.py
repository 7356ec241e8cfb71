"""The images that are mutated: small ones, at least one for every kind of thing that an image can have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from qcow2inspect.build.recipe import Cluster, Compressed, Data, DirtyBitmap, Recipe, Snapshot, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.header import CompressionType, CryptMethod
from qcow2inspect.format.luks import LuksHeader
from qcow2inspect.format.v1 import HeaderV1
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.image.v1 import V1Image
from qcow2inspect.layout.node import Node
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import HostOffset
from tests.cipher.volumes import Volume
from tests.image.v1_images import V1Recipe
from tests.images import noise

PASSPHRASE = b"secret"
"""Opens every encrypted seed."""
BASE_SIZE = 70_000
"""Bytes of the raw file behind overlays."""
_PER_LIST = 12
_NODES = 3000
_FEATURE_NAME = re.compile(r"ext\[\d+\]\.data\.name\[[^01]\]")
"""All but two of the feature names: there are so many that little else would be mutated."""

MIXED: dict[int, Cluster] = {
    0: Data(noise(1, 512)),
    1: Compressed(b"text " * 40),
    2: Zero(b"old"),
    3: Zero(),
    4: Data(b"d"),
    5: Compressed(noise(2, 300)),
    9: Data(noise(3, 512)),
}
OLD: dict[int, Cluster] = {key: value for key, value in MIXED.items() if not isinstance(value, Zero)}
PLAIN: dict[int, Cluster] = {key: value for key, value in OLD.items() if isinstance(value, Data)}
SUB: dict[int, Cluster] = {
    0: Subclusters(0x0000_F0F0_0000_0F0F, noise(4, 1 << 14)),
    1: Subclusters(0xFF << 36),
    2: Compressed(b"packed"),
    3: Data(b"whole"),
}
SMALL = Layout(60 << 10, cluster_bits=12)
TAKEN = (Snapshot(b"one", {0: Data(b"n"), 4: Zero()}, date_sec=9), Snapshot(b"two", {7: Compressed(b"c")}, date_sec=10))


@dataclass(frozen=True)
class Place:
    """A field or table entry of a seed.

    Attributes:
        path: its address.
        at: host offset.
        size: bytes.
    """

    path: str
    at: int
    size: int


@dataclass(frozen=True)
class Seed:
    """One image to be mutated.

    Attributes:
        name: short name.
        data: its bytes.
        places: its header fields, and a sample of the entries of every table.
        version: 1, 2 or 3.
    """

    name: str
    data: bytes
    places: tuple[Place, ...]
    version: int

    @property
    def fields(self) -> tuple[Place, ...]:
        """The header fields alone, without the magic."""
        return tuple(place for place in self.places if place.path.startswith("hdr.") and place.path != "hdr.magic")


def _luks() -> bytes:
    """An image encrypted with LUKS whose key needs seven iterations; what its clusters hold is noise."""
    volume = Volume(mode="cbc-essiv:sha256", key_size=16, passphrases={0: PASSPHRASE})
    sectors = 8 + 8 * (-(-16 * 4000 // 4096) * 8)
    volume.change_header(payload_offset=sectors)
    area = bytearray(volume.header.fields.encode() + b"".join(slot.encode() for slot in volume.header.slots))
    assert len(area) == LuksHeader.SIZE
    area = area.ljust(sectors * 512, b"\0")
    for index, material in volume.material.items():
        at = volume.header.slots[index].key_material_offset * 512
        area[at : at + len(material)] = material
    layout = replace(SMALL, crypt_method=CryptMethod.LUKS, luks_header=bytes(area))
    return build(Recipe(layout, {**PLAIN, 2: Zero()}))


def _recipe(layout: Layout, clusters: dict[int, Cluster], *snapshots: Snapshot, **more: object) -> Callable[[], bytes]:
    return lambda: build(Recipe(layout, clusters, snapshots, **more))  # type: ignore[arg-type]  # fields by name


def _v1(**fields: object) -> Callable[[], bytes]:
    clusters = {0: b"first", 3: noise(5, 4000)}
    made = {"size": 60 << 10, "clusters": clusters, "packed": {1: b"text " * 40}, **fields}
    return lambda: V1Recipe(**made).build()  # type: ignore[arg-type]  # fields by name


def _recipes() -> dict[str, Callable[[], bytes]]:
    wide = Layout(80 << 10, cluster_bits=9)
    bitmaps = (DirtyBitmap(b"daily", (0,)), DirtyBitmap(b"fine", (1, 7), granularity_bits=9))
    overlay = replace(SMALL, backing_name=b"base.raw", backing_format=b"raw")
    running = {**MIXED, 512: Data(b"QEVM and memory")}
    found = {
        "512": _recipe(wide, {**MIXED, 70: Data(b"second table"), 150: Compressed(b"third")}),
        "512-snapshots": _recipe(wide, {**MIXED, 70: Data(b"second table")}, *TAKEN),
        "4k": _recipe(SMALL, MIXED),
        "64k": _recipe(Layout(1 << 20), MIXED),
        "v2": _recipe(Layout(60 << 10, 2, 12), OLD),
        "v2-snapshots": _recipe(Layout(60 << 10, 2, 12), OLD, Snapshot(b"old", {0: Data(b"new")})),
        "v2-overlay": _recipe(replace(overlay, version=2), OLD),
        "zstd": _recipe(replace(SMALL, compression=CompressionType.ZSTD), MIXED),
        "extended": _recipe(Layout(128 << 10, cluster_bits=14, extended_l2=True), SUB),
        "extended-overlay": _recipe(replace(overlay, size=128 << 10, cluster_bits=14, extended_l2=True), SUB),
        "snapshots": _recipe(SMALL, MIXED, *TAKEN),
        "vm-state": lambda: build(
            Recipe(
                replace(SMALL, l1_extra=2),
                running,
                (Snapshot(b"running"),),
                damage={"snap[0].extra.vm_state_size": 4096},
            )
        ),
        "bitmaps": _recipe(SMALL, MIXED, bitmaps=bitmaps),
        "overlay": _recipe(overlay, MIXED),
        "data-file": _recipe(replace(SMALL, data_file=b"data.raw"), {0: Data(b"a"), 3: Zero(), 4: Data(b"b")}),
        "aes": _recipe(replace(SMALL, crypt_method=CryptMethod.AES), PLAIN, passphrase=PASSPHRASE),
        "luks": _luks,
        "lazy": _recipe(replace(SMALL, lazy_refcounts=True, extra_extensions=((7, b"a note"),)), MIXED),
        "v1": _v1(),
        "v1-512": _v1(cluster_bits=9, l2_bits=6),
        "v1-overlay": _v1(backing=b"base.raw"),
        "v1-aes": _v1(passphrase=PASSPHRASE, packed={}),
    }
    for order in (0, 1, 2, 3, 5, 6):
        clusters = PLAIN if order == 0 else MIXED  # compressed clusters share host clusters, one bit counts to one
        found[f"refcount-{1 << order}"] = _recipe(replace(SMALL, refcount_order=order), clusters)
    return found


RECIPES = _recipes()
NAMES = tuple(RECIPES)


@cache
def seed(name: str) -> Seed:
    """The seed of this name."""
    data = RECIPES[name]()
    version = int.from_bytes(data[4:8], "big")
    places = _v1_places(data) if version == 1 else places_of(data)
    return Seed(name, data, tuple(place for place in places if not _FEATURE_NAME.match(place.path)), version)


def places_of(data: bytes) -> Iterator[Place]:
    """Header fields, extension fields, entries of all tables, snapshots, bitmaps, LUKS header."""
    tree = Tree(Image(MemorySource(data)))
    seen: set[tuple[int, int]] = set()
    budget = _NODES
    queue = list(tree.top)
    while queue and budget:
        node = queue.pop()
        budget -= 1
        parts = [child for child in _some(node.children()) if child.bits is None]
        queue += [child for child in parts if child.kind not in ("data", "compressed")]
        where = (int(node.where.start), node.where.size)
        if not parts and 0 < where[1] <= 64 and where not in seen:
            seen.add(where)
            yield Place(node.path, *where)
        elif node.path.rpartition(".")[2].startswith(("L1[", "L2[", "rt[")) and where[1] in (8, 16):
            for at in range(0, where[1], 8):
                yield Place(node.path, where[0] + at, 8)


def _some(nodes: Sequence[Node]) -> list[Node]:
    count = len(nodes)
    if count <= 2 * _PER_LIST:
        return list(nodes)
    return [nodes[index] for index in (*range(_PER_LIST), *range(count - _PER_LIST, count))]


def _v1_places(data: bytes) -> Iterator[Place]:
    image = V1Image(MemorySource(data))
    for row in HeaderV1.ROWS:
        yield Place(f"hdr.{row.name}", row.at, row.size)
    for index in range(len(image.l1)):
        yield Place(f"L1[{index}]", image.l1.at + 8 * index, 8)
        at = image.l1[index].l2_table_offset
        table = image.l2_table(HostOffset(at))
        for entry in range(min(_PER_LIST, len(table)) if at else 0):
            yield Place(f"L1[{index}].L2[{entry}]", at + 8 * entry, 8)
