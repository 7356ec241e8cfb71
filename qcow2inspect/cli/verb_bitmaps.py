"""Print the persistent dirty bitmaps: which guest ranges were written since each was made or cleared.

A bitmap that cannot be read is named with the reason, and the others are printed; the exit code is then that of the
first reason.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from qcow2inspect.cli.common import add_image, add_json, assumed_of, dump_json, print_rows, progress_bar, say, warn
from qcow2inspect.format.extensions.bitmaps import Bitmaps
from qcow2inspect.image.dirty import DirtyBitmap
from qcow2inspect.image.image import Image
from qcow2inspect.units import counted, exact_size, human_size

if TYPE_CHECKING:
    import argparse

    from qcow2inspect.image.dirty import Dirty
    from qcow2inspect.units import GuestRange

__all__ = ["add_arguments", "run"]

_RANGES = 1000
_LABEL = 14


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    text = f"ranges of each bitmap at most ({_RANGES}); 0 for all"
    parser.add_argument("--limit", type=int, default=_RANGES, metavar="N", help=text)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the bitmaps."""
    limit = options.limit if options.limit > 0 else None
    with Image.open(options.image, assumed_of(options)) as image:
        bitmaps = [DirtyBitmap(image, entry) for entry in image.bitmaps]
        _warn_of_missing(image)
        if options.json:
            dump_json([_document(bitmap, limit) for bitmap in bitmaps])
        else:
            say(counted(len(bitmaps), "bitmap") if bitmaps else "no bitmaps")
            for bitmap in bitmaps:
                _print(bitmap, limit)
    return next((bitmap.error.exit_code for bitmap in bitmaps if bitmap.error), 0)


def _warn_of_missing(image: Image) -> None:
    extension = image.extension(Bitmaps)
    pointer = extension.pointer if extension else None
    if extension and not pointer:
        warn("the bitmaps extension is too short to say where the bitmap directory lies")
    if pointer and pointer.nb_bitmaps > len(image.bitmaps):
        where = f"the bitmap directory at {pointer.bitmap_directory_offset}"
        warn(f"the header counts {counted(pointer.nb_bitmaps, 'bitmap')}, {where} gives {len(image.bitmaps):,}")


def _count(bitmap: DirtyBitmap) -> Dirty:
    with progress_bar() as progress:
        return bitmap.count(progress)


def _shown(bitmap: DirtyBitmap, limit: int | None) -> list[GuestRange]:
    return list(itertools.islice(bitmap.dirty_ranges(), limit))


def _print(bitmap: DirtyBitmap, limit: int | None) -> None:
    say()
    _fact("bitmap", bitmap.name)
    _fact("type", bitmap.kind)
    _fact("flags", ", ".join(flag.replace("_", " ") for flag in bitmap.flags) or "none set")
    _fact("granularity", exact_size(bitmap.granularity) if bitmap.granularity else "impossible")
    for note in bitmap.notes:
        _fact("note", note)
    if bitmap.error is not None:
        _fact("dirty", f"cannot be read: {bitmap.error}")
        return
    dirty = _count(bitmap)
    _fact("dirty", f"{exact_size(dirty.size)} in {counted(dirty.ranges, 'range')}" if dirty.ranges else "nothing")
    ranges = _shown(bitmap, limit)
    if ranges:
        rows = ((str(part.start), str(part.end), human_size(part.size)) for part in ranges)
        print_rows(("guest start", "guest end", "size"), rows)
    if len(ranges) < dirty.ranges:
        say(f"... and {dirty.ranges - len(ranges):,} more; give --limit")


def _fact(label: str, value: str) -> None:
    say(f"{label:<{_LABEL}}{value}")


def _document(bitmap: DirtyBitmap, limit: int | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": bitmap.name,
        "type": bitmap.kind,
        "flags": list(bitmap.flags),
        "granularity": bitmap.granularity,
        "notes": list(bitmap.notes),
        "readable": bitmap.error is None,
    }
    if bitmap.error is not None:
        return document | {"why_not": str(bitmap.error)}
    dirty, ranges = _count(bitmap), _shown(bitmap, limit)
    return document | {
        "dirty_bytes": dirty.size,
        "dirty_ranges": dirty.ranges,
        "ranges": [{"start": int(part.start), "length": part.size} for part in ranges],
        "ranges_left_out": dirty.ranges - len(ranges),
    }
