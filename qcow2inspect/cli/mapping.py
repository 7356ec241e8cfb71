"""Which mapping a table verb shows: that of the active state or that of a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.image.mapping import snapshot_called

if TYPE_CHECKING:
    import argparse

    from qcow2inspect.image.tree import Mapping, Tree

__all__ = ["add_snapshot", "choose_mapping"]


def add_snapshot(parser: argparse.ArgumentParser) -> None:
    """``--snapshot``."""
    parser.add_argument("--snapshot", metavar="ID|NAME", help="the tables of this snapshot instead of the active ones")


def choose_mapping(tree: Tree, snapshot: str | None) -> Mapping:
    """The mapping of the snapshot with this id or name; the active one for None.

    Raises:
        BadAddress: there is no such snapshot, or there are several.
    """
    if snapshot is None:
        return tree.active
    return tree.mappings[snapshot_called(tree.image, snapshot) + 1]
