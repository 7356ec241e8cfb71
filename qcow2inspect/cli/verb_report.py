"""Write the report about an image as plain text: facts, flags, findings, and what was not checked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qcow2inspect.cli.common import add_image
from qcow2inspect.cli.verb_info import take_dossier
from qcow2inspect.image.image import Image
from qcow2inspect.layout.structure import visible
from qcow2inspect.reports.text import render_text, write_report

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="write to FILE instead of stdout")
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")


def run(options: argparse.Namespace) -> int:
    """Report."""
    with Image.open(options.image) as image:
        dossier = take_dossier(image)
        if options.output is None:
            sys.stdout.write(render_text(dossier))
            return 0
        evidence = [image.source.identity] if image.source.identity else []
        write_report(dossier, options.output, force=options.force, evidence=evidence)
    print(visible(f"{options.output}: report written"), file=sys.stderr)
    return 0
