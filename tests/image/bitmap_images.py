"""Images with persistent bitmaps, made byte by byte, right or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qcow2inspect.build.recipe import Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.bitmap import BitmapDirectoryEntry
from qcow2inspect.format.extensions.bitmaps import Bitmaps, BitmapsPointer
from qcow2inspect.image.dirty import DirtyBitmap
from qcow2inspect.layout.packed import pack
from qcow2inspect.units import HostOffset
from tests.images import image_of

CLUSTER = 512
_HEADER = 104


@dataclass
class Marks:
    """One bitmap.

    Attributes:
        dirty: numbers of the bits that are one.
        shortcuts: table entries for clusters of equal bits name no cluster.
        entry: fields of the directory entry, put in at last.
        table: table index -> entry, put in at last.
    """

    name: bytes = b"marks"
    dirty: frozenset[int] = frozenset()
    granularity_bits: int = 9
    shortcuts: bool = True
    extra: bytes = b""
    entry: dict[str, int] = field(default_factory=dict)
    table: dict[int, int] = field(default_factory=dict)


def image_with(size: int, *bitmaps: Marks, autoclear: bool = True, count: int | None = None) -> bytes:
    """The bytes of an image of version 3 with clusters of 512 bytes and these bitmaps."""
    image = bytearray(build(Recipe(Layout(size, cluster_bits=9))))
    directory = b"".join(_entry(image, size, marks) for marks in bitmaps)
    at = _append(image, directory)
    pointer = BitmapsPointer(len(bitmaps) if count is None else count, 0, len(directory), HostOffset(at))
    image[_HEADER:CLUSTER] = bytes(CLUSTER - _HEADER)
    area = Bitmaps.MAGIC.to_bytes(4, "big") + BitmapsPointer.SIZE.to_bytes(4, "big") + pointer.encode()
    image[_HEADER : _HEADER + len(area)] = area
    image[100:104] = _HEADER.to_bytes(4, "big")
    image[88:96] = int(autoclear).to_bytes(8, "big")
    return bytes(image)


def bitmaps_of(data: bytes) -> list[DirtyBitmap]:
    """The bitmaps of an image."""
    image = image_of(data)
    return [DirtyBitmap(image, entry) for entry in image.bitmaps]


def _append(image: bytearray, data: bytes) -> int:
    image += bytes(-len(image) % CLUSTER)
    at = len(image)
    image += data + bytes(-len(data) % CLUSTER)
    return at


def _entry(image: bytearray, size: int, marks: Marks) -> bytes:
    count = -(-size // (1 << marks.granularity_bits))
    clusters = -(-count // (8 * CLUSTER))
    table = _table(image, marks, clusters)
    fields: dict[str, Any] = {
        "bitmap_table_offset": _append(image, b"".join(entry.to_bytes(8, "big") for entry in table)),
        "bitmap_table_size": clusters,
        "flags": 0,
        "type": 1,
        "granularity_bits": marks.granularity_bits,
        "name_size": len(marks.name),
        "extra_data_size": len(marks.extra),
    }
    data = BitmapDirectoryEntry(**(fields | marks.entry)).encode() + marks.extra + marks.name
    return data + bytes(-len(data) % 8)


def _table(image: bytearray, marks: Marks, clusters: int) -> Sequence[int]:
    table = []
    for index in range(clusters):
        first = index * 8 * CLUSTER
        bits = bytes(first + bit in marks.dirty for bit in range(8 * CLUSTER)) if marks.dirty else bytes(8 * CLUSTER)
        data = pack(bytearray(bits), 1)
        if marks.shortcuts and data in (bytes(CLUSTER), b"\xff" * CLUSTER):
            table.append(data[0] & 1)
        else:
            table.append(_append(image, data))
    return [marks.table.get(index, entry) for index, entry in enumerate(table)]
