"""Print which guest range lies where in the image file.

A row covers guest bytes [start, end) that all are of one type and, where they have host bytes, lie in one piece.
Backing files are looked into as far as --follow and --backing allow; no passphrase is needed.
"""

from __future__ import annotations

import itertools
import json
import sys
from typing import TYPE_CHECKING, Any

from qcow2inspect.cli.common import add_image, add_json, print_rows, say, warn
from qcow2inspect.cli.opening import add_data, add_states, chosen_view, first_layer, opened
from qcow2inspect.image.image import Image
from qcow2inspect.layout.structure import visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.view import Extent

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    add_json(parser, compat=True)
    parser.add_argument("--layers", action="store_true", help="say for every range which file of the chain supplies it")
    add_states(parser)
    add_data(parser, key=False)


def run(options: argparse.Namespace) -> int:
    """Print the map."""
    with opened(options) as chain:
        disk = chosen_view(options, chain, key=False)
        if options.json_compat:
            from qcow2inspect.reports.qemu import map_entries, map_lines

            images = [layer.image for layer in chain.layers]
            for piece in map_lines(map_entries(disk, images[first_layer(options) :])):
                sys.stdout.write(piece)
            return 0
        files = [layer.name for layer in chain.layers] if options.layers else []
        extents = (extent._replace(layer=extent.layer + first_layer(options)) for extent in disk.extents())
        if options.json:
            lead = itertools.chain(["[\n  "], itertools.repeat(",\n  "))
            for start, extent in zip(lead, extents, strict=False):
                sys.stdout.write(start + json.dumps(_document(extent, files)))
            say("\n]" if disk.size else "[]")
            return 0
        titles = ("guest start", "guest end", "type", "host start", *(("file",) if files else ()), "note")
        print_rows(titles, (_row(extent, files) for extent in extents))
        _warn_of_missing(chain)
    return 0


def _warn_of_missing(chain: Chain) -> None:
    image = chain.top
    if isinstance(image, Image) and image.header.size and image.l1.range.end > image.end:
        warn(f"the L1 table ends at {image.l1.range.end}, past the end of the file: the rest reads as unallocated")


def _row(extent: Extent, files: Sequence[str]) -> tuple[str, ...]:
    host = str(extent.host.start) if extent.host else "-"
    file = (f"{extent.layer} {visible(files[extent.layer])}",) if files else ()
    return (str(extent.guest.start), str(extent.guest.end), extent.kind.word, host, *file, _note(extent))


def _note(extent: Extent) -> str:
    if extent.error is not None:
        return f"cannot be read: {extent.why_not}"
    if extent.absent:
        return "absent: its file is not there, reads as zeros"
    return "missing: the file ends before it, reads as zeros" if extent.past_end else ""


def _document(extent: Extent, files: Sequence[str]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "start": int(extent.guest.start),
        "length": extent.guest.size,
        "type": extent.kind.word,
        "readable": extent.readable,
        "layer": extent.layer,
    }
    if files:
        document["file"] = files[extent.layer]
    if extent.host is not None:
        document |= {"host_start": int(extent.host.start), "host_length": extent.host.size}
    if extent.past_end:
        document["past_end_of_file"] = True
    if extent.absent:
        document["absent"] = True
    if not extent.readable:
        document["why_not"] = extent.why_not
    return document
