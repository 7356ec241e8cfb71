"""Open an image in the terminal interface; without a terminal, print its info."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from qcow2inspect.cli.common import add_image

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "is_terminal", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)


def run(options: argparse.Namespace) -> int:
    """Open the interface."""
    if not is_terminal():
        from qcow2inspect.cli.verb_info import print_info

        return print_info(options.image)
    from qcow2inspect.tui.app import run as run_app

    return run_app(options.image)


def is_terminal() -> bool:
    """True if a person sits at a terminal that can show screens."""
    return sys.stdout.isatty() and sys.stdin.isatty() and os.environ.get("TERM", "dumb") != "dumb"
