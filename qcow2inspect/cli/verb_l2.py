"""Print an L2 table, entry by entry: where the guest clusters of one L1 entry lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.cli.common import add_image, add_rows, assumed_of, parse_range
from qcow2inspect.cli.mapping import add_snapshot, choose_mapping
from qcow2inspect.cli.rows import show_entries
from qcow2inspect.image.address import resolve
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    parser.add_argument("l1_index", metavar="L1-INDEX", help="the L1 entry whose L2 table is shown")
    add_rows(parser, "entries")
    add_snapshot(parser)


def run(options: argparse.Namespace) -> int:
    """Print the entries."""
    with Image.open(options.image, assumed_of(options)) as image:
        tree = Tree(image)
        mapping = choose_mapping(tree, options.snapshot)
        index = parse_range(options.l1_index, len(mapping.l1)).start
        table = resolve(tree, f"{mapping.prefix}L1[{index}].L2").node
        entries = image.geometry.l2_entries
        show_entries(options, image, table, entries, lambda number: tree.mapped(mapping).l2_entry(index, number))
    return 0
