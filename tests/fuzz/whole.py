"""Whole images for Hypothesis: sound ones, damaged ones, and ones made up from the declarations of the format.

Everything comes from what the format package declares: sound images from layouts, damage from the fields and entries
that the tree of an image names, made-up images from the rows of the header, the known header extensions and words
that look like table entries.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import replace
from functools import cache

from hypothesis import strategies as st

from qcow2inspect.build.recipe import DirtyBitmap, Recipe, build
from qcow2inspect.format.extensions import known_extensions
from qcow2inspect.format.extensions.base import Record
from qcow2inspect.format.header import Header
from qcow2inspect.layout.structure import Row, Structure
from tests.fuzz.seeds import Place, places_of
from tests.images import recipes


class Made(bytes):
    """The bytes of an image, shown packed: what Hypothesis prints can be pasted into ``Made.unpack``."""

    def __repr__(self) -> str:
        return f"Made.unpack({base64.b85encode(zlib.compress(self, 9))!r})"

    @classmethod
    def unpack(cls, packed: bytes) -> Made:
        """The image that was shown."""
        return cls(zlib.decompress(base64.b85decode(packed)))


_WIDEST = 8
_UNKNOWN = st.tuples(st.integers(1, 0x7FFF_FFFF), st.binary(max_size=24))
_BITMAPS = st.builds(
    DirtyBitmap,
    st.sampled_from([b"daily", b"weekly", b"\xc3\xa9t\xc3\xa9"]),
    st.lists(st.integers(0, 3), max_size=3, unique=True).map(tuple),
    granularity_bits=st.integers(9, 16),
    flags=st.sampled_from([0, 1, 2]),
)


# -- sound ----------------------------------------------------------------------------------------------------------


@st.composite
def sound(draw: st.DrawFn) -> Recipe:
    """Sound images: any cluster size and refcount width, snapshots, extensions, bitmaps."""
    recipe = draw(recipes())
    layout = replace(recipe.layout, l1_extra=draw(st.integers(0, 2)))
    if layout.version == 2:
        return replace(recipe, layout=layout)
    extensions = tuple(draw(st.lists(_UNKNOWN, max_size=2)))
    layout = replace(layout, lazy_refcounts=draw(st.booleans()), extra_extensions=extensions)
    size = layout.size - 1
    bitmaps = [
        replace(bitmap, dirty=tuple(bit for bit in bitmap.dirty if bit <= size >> bitmap.granularity_bits))
        for bitmap in draw(st.lists(_BITMAPS, max_size=2, unique_by=lambda bitmap: bitmap.name))
    ]
    return replace(recipe, layout=layout, bitmaps=tuple(bitmaps))


# -- damaged --------------------------------------------------------------------------------------------------------


def values_for(width: int, old: int, end: int) -> st.SearchStrategy[int]:
    """Odd values for a field of ``width`` bytes of a file that ends at ``end``."""
    most = (1 << 8 * width) - 1
    bits = st.integers(0, 8 * width - 1)
    near = st.integers(0, end // 512 + 2).map(lambda unit: unit * 512)
    entries = st.builds(lambda at, bit: at | 1 << bit, near, bits)
    flipped = bits.map(lambda bit: old ^ 1 << bit)
    edges = st.sampled_from([0, 1, most, most >> 1, old + 1, old - 1])
    return st.one_of(flipped, near, entries, edges, st.integers(0, most)).map(lambda value: value & most)


@st.composite
def damaged(draw: st.DrawFn) -> Made:
    """Sound images of which up to four fields or entries are other ones, or which end early."""
    data = bytearray(build(draw(sound())))
    places = _places(bytes(data))
    for place in draw(st.lists(st.sampled_from(places), min_size=1, max_size=4, unique=True)):
        size = min(_WIDEST, place.size)
        old = int.from_bytes(data[place.at : place.at + size], "big")
        data[place.at : place.at + size] = draw(values_for(size, old, len(data))).to_bytes(size, "big")
    if draw(st.integers(0, 9)) == 0:
        del data[draw(st.integers(0, len(data))) :]
    return Made(data)


@cache
def _places(data: bytes) -> list[Place]:
    return [place for place in places_of(data) if place.path != "hdr.magic"]


# -- made up --------------------------------------------------------------------------------------------------------

_CLUSTERS = 24


def _row(row: Row, cluster: int) -> st.SearchStrategy[int | bytes]:
    """What may stand in a field of a header: for sizes and offsets mostly what leads somewhere."""
    if row.is_bytes:
        return st.binary(min_size=row.size, max_size=row.size)
    if row.name.endswith("_offset"):
        return st.integers(0, _CLUSTERS).map(lambda index: index * cluster) | st.integers(0, (1 << 64) - 1)
    few, most = st.integers(0, 9), (1 << 8 * row.size) - 1
    larger = st.sampled_from([min(most, cluster), min(most, 20 * cluster), most])
    return st.one_of(few, few, larger, st.integers(0, most))


def structures(kind: type[Structure], cluster: int, **fixed: int) -> st.SearchStrategy[bytes]:
    """The bytes of a declared structure, row by row."""
    rows = [st.just(fixed[row.name]) if row.name in fixed else _row(row, cluster) for row in kind.ROWS]

    def encode(values: tuple[int | bytes, ...]) -> bytes:
        pairs = zip(kind.ROWS, values, strict=True)
        return b"".join(value if isinstance(value, bytes) else value.to_bytes(row.size, "big") for row, value in pairs)

    return st.tuples(*rows).map(encode)


@st.composite
def _extension(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(sorted(known_extensions())) | st.integers(0, (1 << 32) - 1))
    data = draw(st.binary(max_size=56))
    length = draw(st.just(len(data)) | st.sampled_from([0, 1, 8, 1 << 12, (1 << 32) - 1]))
    return Record(magic=kind, length=length).encode() + data.ljust(-(-len(data) // 8) * 8, b"\0")


def _usual(cluster: int, size: int) -> dict[str, int]:
    """What stands in a header with which an image opens."""
    tables = {"l1_size": 2, "l1_table_offset": cluster, "refcount_table_offset": 2 * cluster}
    none = ("backing_file_offset", "backing_file_size", "crypt_method", "nb_snapshots", "incompatible_features")
    rest = {
        "size": size,
        "refcount_table_clusters": 1,
        "refcount_order": 4,
        "header_length": 112,
        "compression_type": 0,
    }
    return {**tables, **rest, **dict.fromkeys(none, 0)}


@st.composite
def made_up(draw: st.DrawFn) -> Made:
    """A header of odd fields, odd extensions behind it, and clusters of words that point at each other."""
    bits = draw(st.integers(9, 12))
    cluster = 1 << bits
    magic = int.from_bytes(b"QFI\xfb", "big")
    version = draw(st.sampled_from([2, 3, 3, 3]))
    size = draw(st.integers(1, 64)) * cluster
    kept = {name: value for name, value in _usual(cluster, size).items() if draw(st.integers(0, 9))}
    fixed = {"magic": magic, "version": version, "cluster_bits": bits, **kept}
    front = draw(structures(Header, cluster, **fixed)) + b"".join(draw(st.lists(_extension(), max_size=3)))
    words = st.builds(
        lambda index, flags: index * cluster | flags,
        st.integers(0, _CLUSTERS),
        st.sampled_from([0, 1 << 63, 1 << 62, 1, 1 << 63 | 1, 512, 0x0001_0001_0001_0001]),
    )
    tables = draw(st.lists(st.lists(words | st.just(0), max_size=12), max_size=_CLUSTERS))
    clusters = [b"".join(word.to_bytes(8, "big") for word in table).ljust(cluster, b"\0") for table in tables]
    return Made(front[:cluster].ljust(cluster, b"\0") + b"".join(clusters))
