"""Print the L1 table, entry by entry: where the L2 tables lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.cli.common import add_image, add_rows, assumed_of
from qcow2inspect.cli.mapping import add_snapshot, choose_mapping
from qcow2inspect.cli.rows import show_entries
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    add_rows(parser, "entries")
    add_snapshot(parser)


def run(options: argparse.Namespace) -> int:
    """Print the entries."""
    with Image.open(options.image, assumed_of(options)) as image:
        tree = Tree(image)
        mapping = choose_mapping(tree, options.snapshot)
        nodes = tree.mapped(mapping)
        show_entries(options, image, nodes.l1, len(mapping.l1), nodes.l1_entry)
    return 0
