"""The mappings of an image: one L1 table for the active state, one for every snapshot."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.errors import BadAddress
from qcow2inspect.format.geometry import MAX_L1_ENTRIES
from qcow2inspect.format.mapping import L1Entry
from qcow2inspect.image.table import Table
from qcow2inspect.layout.node import Lazy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qcow2inspect.format.snapshot import Snapshot
    from qcow2inspect.image.image import Image

__all__ = ["Mapping", "active_mapping", "snapshot_called", "snapshot_mappings"]


@dataclass(frozen=True, slots=True)
class Mapping:
    """One L1 table of the image: that of the active state or that of a snapshot.

    Attributes:
        prefix: what its addresses start with: empty for the active state, ``snap[0].`` for a snapshot.
        title: the state in words.
        l1: the table.
        size: guest bytes of the state.
        snapshot: the snapshot; None for the active state.
    """

    prefix: str
    title: str
    l1: Table[L1Entry[int]]
    size: int
    snapshot: Snapshot | None = None


def active_mapping(image: Image) -> Mapping:
    """The mapping of the active state."""
    return Mapping("", "active state", image.l1, image.header.size)


def snapshot_mappings(image: Image) -> Sequence[Mapping]:
    """The mappings of all snapshots; a snapshot that does not say its disk size has that of the active state."""
    found = image.snapshots
    return Lazy(len(found), lambda index: _of_snapshot(image, index, found[index]))


def snapshot_called(image: Image, wanted: str) -> int:
    """The index of the snapshot with this id or, if none has it, this name; ``snap[2]`` is the one of index 2.

    Raises:
        BadAddress: there is no such snapshot, or there are several.
    """
    name, found = os.fsencode(wanted), image.snapshots
    for what in ("id", "name"):
        called = [index for index, snapshot in enumerate(found) if getattr(snapshot, what) == name]
        if len(called) > 1:
            which = ", ".join(f"snap[{index}]" for index in called[:10])
            raise BadAddress(f"{len(called):,} snapshots have the {what} “{wanted}”: say which of {which}")
        if called:
            return called[0]
    number = re.fullmatch(r"snap\[(\d{1,9})\]", wanted)
    if number and int(number[1]) < len(found):
        return int(number[1])
    titles = ", ".join(snapshot.title for snapshot in found[:10]) or "none"
    raise BadAddress(f"there is no snapshot “{wanted}”; the image has: {titles}")


def _of_snapshot(image: Image, index: int, snapshot: Snapshot) -> Mapping:
    entry = snapshot.entry
    l1 = Table(entry.l1_table_offset, min(entry.l1_size, MAX_L1_ENTRIES), L1Entry[int], image.read)
    size = snapshot.disk_size if snapshot.disk_size is not None else image.header.size
    return Mapping(f"snap[{index}].", f"snapshot {snapshot.title}", l1, size, snapshot)
