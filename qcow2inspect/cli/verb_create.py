"""Make a qcow2 image from a raw disk, or from a snapshot of another image.

Holes and zeros are not stored. With a backing file, only what differs from it is.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qcow2inspect.build.create import Form, ViewSource, create_from, create_image
from qcow2inspect.cli.common import folders_of, progress_bar
from qcow2inspect.errors import BadAddress
from qcow2inspect.format.header import CompressionType
from qcow2inspect.image.gate import Follow
from qcow2inspect.layout.structure import visible
from qcow2inspect.units import exact_size, human_size, parse_size

if TYPE_CHECKING:
    import argparse

    from qcow2inspect.build.create import Created
    from qcow2inspect.progress import Progress

__all__ = ["add_arguments", "run", "writes"]

_MOST = {CompressionType.ZLIB: 9, CompressionType.ZSTD: 22}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "raw", metavar="RAW", help="the raw disk, or the image of --from-snapshot; it is only ever read"
    )
    parser.add_argument("image", metavar="IMAGE", help="the image to write")
    parser.add_argument("--compress", choices=["zlib", "zstd"], help="store clusters compressed where that is smaller")
    text = "how hard to compress: 1 to 9 for zlib (6), 1 to 22 for zstd (3)"
    parser.add_argument("--level", type=int, metavar="N", help=text)
    parser.add_argument("--cluster-size", default="64K", metavar="N", help="512 to 2M, a power of two (64K)")
    parser.add_argument("--backing", metavar="FILE", help="make an overlay of this raw or qcow2 file")
    text = "RAW is a qcow2 image: take the disk of this snapshot of it"
    parser.add_argument("--from-snapshot", metavar="ID|NAME", help=text)
    text = "with --from-snapshot and --backing: files that these images name and that may be opened"
    parser.add_argument("--follow", choices=["none", "folder", "any"], default="none", help=text)
    parser.add_argument("--force", action="store_true", help="replace IMAGE if it exists")


def writes(options: argparse.Namespace) -> list[str]:
    """Where files appear."""
    return folders_of([options.image])


def run(options: argparse.Namespace) -> int:
    """Create."""
    if options.image == "-":
        raise BadAddress("create needs a file, not standard output: give IMAGE a name")
    compression = CompressionType[options.compress.upper()] if options.compress else None
    level, follow = _level(options.level, compression), Follow(options.follow)
    form = Form(_cluster_bits(options.cluster_size), compression, level, options.backing, follow)
    with progress_bar() as progress:
        if options.from_snapshot is not None:
            result = _from_snapshot(options, form, progress)
        else:
            result = create_image(options.raw, options.image, form, force=options.force, progress=progress)
    if result.padded:
        print(f"the disk was filled up with {result.padded} zero bytes to a whole sector", file=sys.stderr)
    print(
        visible(f"{options.image}: disk of {exact_size(result.size)} in {human_size(result.stored)}"), file=sys.stderr
    )
    return 0


def _from_snapshot(options: argparse.Namespace, form: Form, progress: Progress) -> Created:
    """An image that holds what a snapshot of another one holds, and no snapshots."""
    from qcow2inspect.image.follow import open_chain
    from qcow2inspect.image.gate import OpenGate

    with open_chain(options.raw, OpenGate(form.follow)) as chain:
        source = ViewSource(chain.disk(options.from_snapshot))
        return create_from(source, options.image, form, evidence=chain.evidence, force=options.force, progress=progress)


def _level(level: int | None, compression: CompressionType | None) -> int | None:
    if level is None:
        return None
    if compression is None:
        raise BadAddress("--level goes with --compress")
    most = _MOST[compression]
    if not 1 <= level <= most:
        raise BadAddress(f"--level {level}: {compression.name.lower()} has levels 1 to {most}")
    return level


def _cluster_bits(text: str) -> int:
    try:
        size = parse_size(text)
    except ValueError as error:
        raise BadAddress(f"--cluster-size: {error}") from None
    if size not in [1 << bits for bits in range(9, 22)]:
        raise BadAddress(f"--cluster-size: {text} is no power of two from 512 to 2M")
    return size.bit_length() - 1
