"""Which mapping a table verb shows: that of the active state or that of a snapshot."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qcow2inspect.errors import BadAddress

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
        BadAddress: there is no such snapshot.
    """
    if snapshot is None:
        return tree.active
    wanted = os.fsencode(snapshot)
    for field in ("id", "name"):
        for index, entry in enumerate(tree.image.snapshots):
            if getattr(entry, field) == wanted:
                return tree.mappings[index + 1]
    titles = ", ".join(entry.title for entry in tree.image.snapshots[:10]) or "none"
    raise BadAddress(f"there is no snapshot “{snapshot}”; the image has: {titles}")
