"""The entries of the snapshot table that hold something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.format.snapshot import SnapshotEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.format.snapshot import Snapshot
    from qcow2inspect.image.image import Image

__all__ = ["is_blank", "snapshots_of"]

_BLANK = bytes(SnapshotEntry.SIZE)


def is_blank(snapshot: Snapshot) -> bool:
    """True for zeros where an entry should be: the count in the header is too high, or the table is gone."""
    return snapshot.stored.startswith(_BLANK)


def snapshots_of(image: Image) -> Iterator[tuple[int, Snapshot]]:
    """Index and entry of every snapshot that is one."""
    return ((index, snapshot) for index, snapshot in enumerate(image.snapshots) if not is_blank(snapshot))
