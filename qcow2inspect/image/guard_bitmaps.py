"""What QEMU verifies of persistent dirty bitmaps: a fault in one of them makes it refuse the whole image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.format.bitmap import BitmapTableEntry, BitmapType
from qcow2inspect.format.extensions.bitmaps import Bitmaps, BitmapsPointer
from qcow2inspect.format.geometry import MAX_BITMAPS, SECTOR
from qcow2inspect.image.obstacle import Obstacle
from qcow2inspect.layout import packed
from qcow2inspect.layout.structure import brief

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.format.bitmap import Bitmap
    from qcow2inspect.image.image import Image

__all__ = ["bitmap_obstacles", "bits_of", "pointer_obstacles"]

_MAX_DIRECTORY = MAX_BITMAPS * 1024
_MAX_TABLE = 0x800_0000
_MAX_DATA = 512 << 20
_MAX_NAME = 1023
_GRANULARITY = range(9, 32)
_KNOWN_FLAGS = 0b11
_COMPATIBLE = 0b100
_READABLE = (1 << 63) - (1 << 30)
"""Where the largest file ends that QEMU reads."""
_BUDGET = 8 << 20
"""Bitmap table entries that are looked at; an image with more of them is no honest one."""


def pointer_obstacles(image: Image, extension: Bitmaps, path: str) -> Iterator[Obstacle]:
    """What is wrong with the bitmaps extension at address ``path``; a stale one must have the right length only."""
    pointer = extension.pointer
    if pointer is None or len(extension.data) != BitmapsPointer.SIZE:
        size = len(extension.data)
        what = f"the bitmaps extension is {size:,} bytes long; it has {BitmapsPointer.SIZE}"
        yield _obstacle("QCOW-BMP-EXT-BAD", size, what, f"{path}.length")
        return
    if not image.header.autoclear_features.bitmaps:
        return
    count, size, at = pointer.nb_bitmaps, pointer.bitmap_directory_size, pointer.bitmap_directory_offset
    odd = {
        "reserved": (pointer.reserved, f"the reserved field of the bitmaps extension is {pointer.reserved:#x}"),
        "nb_bitmaps": (
            count > MAX_BITMAPS or not count,
            f"the bitmaps extension counts {count:,} bitmaps; 1 to {MAX_BITMAPS:,} are possible",
        ),
        "bitmap_directory_offset": (
            not image.geometry.is_aligned(at),
            f"the bitmap directory lies at {at}, no multiple of the cluster size",
        ),
        "bitmap_directory_size": (
            size > _MAX_DIRECTORY,
            f"the bitmap directory is {size:,} bytes long; the limit is {_MAX_DIRECTORY:,}",
        ),
    }
    for name, (is_odd, what) in odd.items():
        if is_odd:
            yield _obstacle("QCOW-BMP-EXT-BAD", getattr(pointer, name), what, f"{path}.data.{name}")


def bitmap_obstacles(image: Image) -> Iterator[Obstacle]:
    """What is wrong with the bitmap directory and the bitmaps, in the order in which QEMU reads them."""
    extension = image.extension(Bitmaps)
    pointer = extension.pointer if extension else None
    if extension is None or pointer is None:
        return
    path = f"ext[{image.extensions.extensions.index(extension)}].data"
    at, end = int(pointer.bitmap_directory_offset), pointer.bitmap_directory_offset + pointer.bitmap_directory_size
    whole = [bitmap for bitmap in image.bitmaps if bitmap.at + bitmap.size <= end]
    for index, bitmap in enumerate(whole):
        yield from _entry(image, index, bitmap)
        at = bitmap.at + bitmap.size
    if at != end or len(whole) != pointer.nb_bitmaps or not whole:
        what = (
            f"the bitmap directory has {pointer.bitmap_directory_size:,} bytes for {pointer.nb_bitmaps:,} bitmaps; "
            f"{len(whole):,} can be read from its first {at - pointer.bitmap_directory_offset:,} bytes"
        )
        yield _obstacle("QCOW-BMP-DIR-BAD", pointer.nb_bitmaps, what, f"{path}.bitmap_directory_size")
    yield from _content(image, whole)


def bits_of(image: Image, bitmap: Bitmap) -> int:
    """How many bits a bitmap of this granularity needs for the disk."""
    return -(-(image.header.size // SECTOR * SECTOR) >> bitmap.entry.granularity_bits)


def _obstacle(code: str, value: int, what: str, path: str) -> Obstacle:
    return Obstacle(code, "autoclear_features", value, what, blocks_reading=False, path=path)


def _entry(image: Image, index: int, bitmap: Bitmap) -> Iterator[Obstacle]:
    entry = bitmap.entry
    flags = entry.flags.raw
    title = f"bitmap “{brief(bitmap.name)}”"
    if flags & _COMPATIBLE and not flags & ~(_COMPATIBLE | _KNOWN_FLAGS):
        what = f"{title} has the flag extra_data_compatible"
        yield _obstacle("QCOW-BMP-FLAG2", flags, what, f"bitmap[{index}].flags")
        flags &= _KNOWN_FLAGS
    elif entry.extra_data_size:
        what = f"{title} has {entry.extra_data_size:,} bytes of unknown extra data"
        yield _obstacle("QCOW-BMP-ENTRY-BAD", entry.extra_data_size, what, f"bitmap[{index}].extra_data_size")
    size, at, bits = entry.bitmap_table_size, entry.bitmap_table_offset, entry.granularity_bits
    data = size * image.geometry.cluster_size
    is_short = not flags & 1 and image.header.size // SECTOR * SECTOR > data * 8 << min(bits, 64)
    odd = {
        "bitmap_table_size": (
            not size or size > _MAX_TABLE or data > _MAX_DATA or is_short,
            f"a bitmap table of {size:,} entries" + (", too few for the disk" if is_short and size else ""),
        ),
        "bitmap_table_offset": (not at or not image.geometry.is_aligned(at), f"a bitmap table at {at}"),
        "granularity_bits": (bits not in _GRANULARITY, f"granularity_bits {bits}; 9 to 31 are possible"),
        "flags": (flags & ~_KNOWN_FLAGS, f"unknown flags {flags:#x}"),
        "name_size": (not 0 < entry.name_size <= _MAX_NAME, f"a name of {entry.name_size:,} bytes"),
        "type": (entry.type is not BitmapType.DIRTY_TRACKING, f"type {entry.type.shown}"),
    }
    for name, (is_odd, what) in odd.items():
        if is_odd:
            value = int(getattr(entry, name))
            yield _obstacle("QCOW-BMP-ENTRY-BAD", value, f"{title} has {what}", f"bitmap[{index}].{name}")


def _content(image: Image, bitmaps: list[Bitmap]) -> Iterator[Obstacle]:
    """Names, sizes and table entries of the bitmaps that QEMU loads; the others are in use and are skipped."""
    names: set[bytes] = set()
    budget = _BUDGET
    for index, bitmap in enumerate(bitmaps):
        name = bitmap.name.partition(b"\0")[0]
        if name in names:
            what = f"two bitmaps have the name “{brief(name)}”"
            yield _obstacle("QCOW-BMP-DUP-NAME", 0, what, f"bitmap[{index}].name")
        names.add(name)
        entry = bitmap.entry
        if entry.flags.in_use or entry.granularity_bits not in _GRANULARITY:
            continue
        size, cluster = entry.bitmap_table_size, image.geometry.cluster_size
        needed = -(-(-(-bits_of(image, bitmap) // 64) * 8) // cluster)
        if size <= budget:
            budget -= size
            yield from _table(image, index, bitmap)
        if size > needed:
            what = f"bitmap “{brief(name)}” has {size:,} bitmap table entries; the disk needs {needed:,}"
            yield _obstacle("QCOW-BMP-ENTRY-BAD", size, what, f"bitmap[{index}].bitmap_table_size")


def _table(image: Image, index: int, bitmap: Bitmap) -> Iterator[Obstacle]:
    """The first entry of a bitmap table that contradicts itself, or that the table is where no file reaches."""
    import numpy as np

    entry = bitmap.entry
    at, size = entry.bitmap_table_offset, entry.bitmap_table_size
    if at + size * 8 > _READABLE:
        what = f"bitmap “{brief(bitmap.name)}” has a bitmap table at {at}, beyond any possible file"
        yield _obstacle("QCOW-BMP-ENTRY-BAD", at, what, f"bitmap[{index}].bitmap_table_offset")
        return
    column = packed.unpack(image.source.read_at(at, size * 8), 64)
    offsets = column & np.uint64(BitmapTableEntry.bitmap_cluster_offset.mask)
    unaligned = (offsets & np.uint64(image.geometry.cluster_size - 1)) != 0
    both = (offsets != 0) & (column & np.uint64(1) != 0)
    odd = np.flatnonzero((column & np.uint64(BitmapTableEntry.RESERVED) != 0) | unaligned | both)
    if len(odd):
        number = int(odd[0])
        raw = int(column[number])
        what = (
            f"entry {number:,} of the bitmap table of “{brief(bitmap.name)}” is {raw:#x}: reserved bits, "
            "no multiple of the cluster size, or an offset beside the all-ones flag"
        )
        yield _obstacle("QCOW-BMP-TABLE-BAD", raw, what, f"bitmap[{index}].table[{number}]")
