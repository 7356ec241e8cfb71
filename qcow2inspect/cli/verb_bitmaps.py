"""Print the persistent dirty bitmaps: which guest ranges were written since each was made or cleared.

A bitmap that cannot be read is named with the reason, and the others are printed; the exit code is then that of the
first reason. Of very many bitmaps, or of very large ones, the first are read, and the rest is named; --only reads any.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from qcow2inspect.cli.common import add_image, add_json, assumed_of, dump_json, print_rows, progress_bar, say, warn
from qcow2inspect.errors import BadAddress
from qcow2inspect.format.extensions.bitmaps import Bitmaps
from qcow2inspect.image.dirty import DirtyBitmap
from qcow2inspect.image.image import Image
from qcow2inspect.layout.structure import printable
from qcow2inspect.units import counted, exact_size, human_size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from qcow2inspect.format.bitmap import Bitmap
    from qcow2inspect.image.dirty import Dirty
    from qcow2inspect.units import GuestRange

__all__ = ["add_arguments", "run"]

_RANGES = 1000
_BITMAPS = 1000
_DATA = 128 << 20
_ROWS = 20_000
_LABEL = 14
_UNREAD = "not counted: the bitmaps before it are large; give --only NAME"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    parser.add_argument("--only", metavar="NAME", help="the bitmap of this name only")
    text = f"ranges of each bitmap at most ({_RANGES}); 0 for all"
    parser.add_argument("--limit", type=int, default=_RANGES, metavar="N", help=text)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the bitmaps."""
    with Image.open(options.image, assumed_of(options)) as image:
        bitmaps = _chosen(image, options.only)
        _warn_of_missing(image)
        budget = _Budget(image, None if options.limit <= 0 else options.limit, unbounded=options.only is not None)
        shown = [DirtyBitmap(image, entry) for entry in bitmaps[:_BITMAPS]]
        if options.json:
            dump_json([_document(bitmap, budget) for bitmap in shown])
        else:
            say(counted(len(bitmaps), "bitmap") if bitmaps else "no bitmaps")
            for bitmap in shown:
                _print(bitmap, budget)
        if len(bitmaps) > len(shown):
            warn(f"{len(bitmaps) - len(shown):,} more bitmaps are not shown; give --only NAME")
    return next((bitmap.error.exit_code for bitmap in shown if bitmap.error), 0)


def _chosen(image: Image, name: str | None) -> Sequence[Bitmap]:
    """The directory entries of all bitmaps, or of those of one name.

    Raises:
        BadAddress: there is no bitmap of that name.
    """
    if name is None:
        return image.bitmaps
    chosen = [entry for entry in image.bitmaps if printable(entry.name) == name]
    if not chosen:
        raise BadAddress(f"there is no bitmap “{name}”; the image has {counted(len(image.bitmaps), 'bitmap')}")
    return chosen


class _Budget:
    """How much is read and printed unless one bitmap is asked for: tables that name clusters again and again are cheap.

    Args:
        image: the image.
        limit: ranges of each bitmap at most; None for all.
        unbounded: True if a bitmap was asked for by name.
    """

    def __init__(self, image: Image, limit: int | None, *, unbounded: bool) -> None:
        self._cluster = image.geometry.cluster_size
        self._limit = limit
        self._data: int | None = None if unbounded else _DATA
        self._rows: int | None = None if unbounded else _ROWS

    def take(self, bitmap: DirtyBitmap) -> bool:
        """True if the data of a bitmap may still be read."""
        if self._data is None:
            return True
        is_left = self._data > 0
        self._data -= len(bitmap.table) * self._cluster
        return is_left

    def ranges(self, bitmap: DirtyBitmap) -> list[GuestRange]:
        """The ranges of a bitmap that may still be shown."""
        most = self._limit if self._rows is None or self._limit is None else min(self._limit, self._rows)
        found = list(itertools.islice(bitmap.dirty_ranges(), most))
        if self._rows is not None:
            self._rows = max(0, self._rows - len(found))
        return found


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


def _print(bitmap: DirtyBitmap, budget: _Budget) -> None:
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
    if not budget.take(bitmap):
        _fact("dirty", _UNREAD)
        return
    dirty = _count(bitmap)
    _fact("dirty", f"{exact_size(dirty.size)} in {counted(dirty.ranges, 'range')}" if dirty.ranges else "nothing")
    ranges = budget.ranges(bitmap)
    if ranges:
        rows = ((str(part.start), str(part.end), human_size(part.size)) for part in ranges)
        print_rows(("guest start", "guest end", "size"), rows)
    if len(ranges) < dirty.ranges:
        say(f"... and {dirty.ranges - len(ranges):,} more; give --limit")


def _fact(label: str, value: str) -> None:
    say(f"{label:<{_LABEL}}{value}")


def _document(bitmap: DirtyBitmap, budget: _Budget) -> dict[str, Any]:
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
    if not budget.take(bitmap):
        return document | {"why_not": _UNREAD}
    dirty, ranges = _count(bitmap), budget.ranges(bitmap)
    return document | {
        "dirty_bytes": dirty.size,
        "dirty_ranges": dirty.ranges,
        "ranges": [{"start": int(part.start), "length": part.size} for part in ranges],
        "ranges_left_out": dirty.ranges - len(ranges),
    }
