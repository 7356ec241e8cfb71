"""Print which guest range lies where in the image file.

A row covers guest bytes [start, end) that all are of one type and, where they have host bytes, lie in one piece.
"""

from __future__ import annotations

import itertools
import json
import sys
from typing import TYPE_CHECKING, Any

from qcow2inspect.cli.common import add_image, add_json, add_lenient, print_rows, say, warn
from qcow2inspect.image.image import Image

if TYPE_CHECKING:
    import argparse

    from qcow2inspect.image.view import Extent

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    add_json(parser, compat=True)
    add_lenient(parser)


def run(options: argparse.Namespace) -> int:
    """Print the map."""
    with Image.open(options.image) as image:
        disk = image.active_disk(lenient=options.lenient)
        if options.json_compat:
            from qcow2inspect.reports.qemu import map_entries, map_lines

            for piece in map_lines(map_entries(disk)):
                sys.stdout.write(piece)
            return 0
        if options.json:
            lead = itertools.chain(["[\n  "], itertools.repeat(",\n  "))
            for start, extent in zip(lead, disk.extents(), strict=False):
                sys.stdout.write(start + json.dumps(_document(extent)))
            say("\n]" if disk.size else "[]")
            return 0
        print_rows(("guest start", "guest end", "type", "host start", "note"), map(_row, disk.extents()))
        _warn_of_missing(image)
    return 0


def _warn_of_missing(image: Image) -> None:
    if image.header.size and image.l1.range.end > image.end:
        warn(f"the L1 table ends at {image.l1.range.end}, past the end of the file: the rest reads as unallocated")


def _row(extent: Extent) -> tuple[str, ...]:
    host = str(extent.host.start) if extent.host else "-"
    return (str(extent.guest.start), str(extent.guest.end), extent.kind.word, host, _note(extent))


def _note(extent: Extent) -> str:
    if extent.error is not None:
        return f"cannot be read: {extent.why_not}"
    return "missing: the file ends before it, reads as zeros" if extent.past_end else ""


def _document(extent: Extent) -> dict[str, Any]:
    document: dict[str, Any] = {
        "start": int(extent.guest.start),
        "length": extent.guest.size,
        "type": extent.kind.word,
        "readable": extent.readable,
    }
    if extent.host is not None:
        document |= {"host_start": int(extent.host.start), "host_length": extent.host.size}
    if extent.past_end:
        document["past_end_of_file"] = True
    if not extent.readable:
        document["why_not"] = extent.why_not
    return document
