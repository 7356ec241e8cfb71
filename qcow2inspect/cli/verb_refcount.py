"""Print the refcounts of host clusters; without a range, the refcount table and its blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.cli.common import add_image, add_rows, assumed_of
from qcow2inspect.cli.rows import show_entries
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.layout.node import Node
from qcow2inspect.units import HostRange

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    add_rows(parser, "host clusters")


def run(options: argparse.Namespace) -> int:
    """Print the counts."""
    with Image.open(options.image, assumed_of(options)) as image:
        tree = Tree(image)
        clusters = max(1, image.geometry.host_clusters(image.source.size))
        show_entries(options, image, tree.refcounts.table, clusters, lambda cluster: _count(tree, cluster))
    return 0


def _count(tree: Tree, cluster: int) -> Node:
    """The refcount of a cluster; 0 in words where no block covers it."""
    try:
        return tree.refcounts.count(cluster)
    except IndexError:
        doc = "No refcount block covers this cluster"
        return Node(f"[{cluster}]", f"ref[{cluster}]", HostRange.at(0, 0), "0 (no block)", doc, kind="refcount")
