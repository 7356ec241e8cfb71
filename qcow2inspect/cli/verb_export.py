"""Write the raw disk of an image to a file.

The file appears as OUT when it is complete, OUT.part until then. What cannot be read stops the export; nothing is
ever replaced by zeros without a word.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qcow2inspect.cli.common import add_image, progress_bar, warn
from qcow2inspect.cli.opening import add_data, add_states, chosen_view, opened
from qcow2inspect.export.raw import export_raw
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.layout.structure import visible
from qcow2inspect.output import check_target
from qcow2inspect.units import exact_size, human_size

if TYPE_CHECKING:
    import argparse

    from qcow2inspect.export.raw import ExportResult

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    parser.add_argument("out", metavar="OUT", help="the raw file to write")
    text = "replace OUT if it exists, and start though the disk looks too full"
    parser.add_argument("--force", action="store_true", help=text)
    parser.add_argument("--no-sparse", action="store_true", help="allocate every byte instead of leaving holes")
    add_states(parser)
    add_data(parser)


def run(options: argparse.Namespace) -> int:
    """Export."""
    with opened(options) as chain:
        disk = chosen_view(options, chain)
        size = chain.top.header.size
        if size % SECTOR and disk.size == size // SECTOR * SECTOR:
            warn(f"the disk size {size:,} is no multiple of {SECTOR}: its last bytes are left out, as in QEMU")
        check_target(options.out, force=options.force, evidence=chain.evidence)  # the view knows only what it reads
        with progress_bar() as progress:
            result = export_raw(disk, options.out, force=options.force, sparse=not options.no_sparse, progress=progress)
    for warning in result.warnings:
        warn(warning)
    print(_summary(result), file=sys.stderr)
    return 0


def _summary(result: ExportResult) -> str:
    rate = human_size(int(result.written / max(result.seconds, 1e-3)))
    done = f"{exact_size(result.size)}, {human_size(result.written)} of them written in {result.seconds:.1f} s"
    return visible(f"{result.path}: {done} ({rate}/s)")
