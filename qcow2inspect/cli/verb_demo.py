"""Make example images in a folder and run the main job on one: open it, export its disk, compare.

demo.qcow2            a sound image with normal, compressed and zero clusters and a snapshot
demo-encrypted.qcow2  its sibling, encrypted with the legacy AES method; the passphrase is "demo"
demo-damaged.qcow2    its sibling with five planted defects
demo.raw              the disk that comes out of demo.qcow2

On a terminal the interface then opens on demo.qcow2.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from qcow2inspect.build.demo import DEFECTS, demo_disk, holds, write_demo
from qcow2inspect.cli import verb_open
from qcow2inspect.cli.common import say
from qcow2inspect.errors import CannotExport
from qcow2inspect.export.raw import export_raw
from qcow2inspect.image.image import Image
from qcow2inspect.layout.structure import visible
from qcow2inspect.units import human_size

if TYPE_CHECKING:
    import argparse

__all__ = ["ASKS_LATER", "add_arguments", "run", "writes"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("dir", metavar="DIR", nargs="?", default="qcow2inspect-demo", help="folder to write to")
    parser.add_argument("--force", action="store_true", help="replace files of these names that hold something else")
    parser.add_argument("--no-open", action="store_true", help="do not open the interface")


ASKS_LATER = True
"""The interface opens in the end, where files may be written too."""


def writes(options: argparse.Namespace) -> list[str]:
    """Where files appear."""
    return [options.dir]


def run(options: argparse.Namespace) -> int:
    """Make the images; export; open."""
    image_path, encrypted, damaged = write_demo(options.dir, force=options.force)
    raw_path = os.path.join(options.dir, "demo.raw")
    force = options.force or holds(raw_path, demo_disk())
    with Image.open(image_path) as image:
        result = export_raw(image.active_disk(), raw_path, force=force)
    with open(raw_path, "rb") as raw:
        if raw.read() != demo_disk():
            raise CannotExport(f"{raw_path} is not the disk that was put into {image_path}", exit_code=1)
    say(visible(f"{image_path}: normal, compressed and zero clusters, one snapshot"))
    say(visible(f"{encrypted}: encrypted (legacy AES, passphrase “demo”)"))
    say(visible(f"{damaged}: five planted defects"))
    for address, what in DEFECTS.items():
        say(f"    {address:<40} {what}")
    say(visible(f"{raw_path}: the raw disk, {human_size(result.size)}, compared byte for byte: equal"))
    say(visible(f"next: qcow2inspect {damaged}"))
    sys.stdout.flush()
    if options.no_open or not verb_open.is_terminal():
        return 0
    return verb_open.show(image_path)
