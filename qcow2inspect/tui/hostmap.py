"""What every host cluster belongs to, as one byte each: for the cluster map and for jumps to the next change.

Where two owners that must not share a cluster claim it, or a refcount has no owner, the map says so. A file of more
than :data:`MOST` clusters is mapped in units of several clusters; the worst of a unit counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from qcow2inspect.progress import Silent
from qcow2inspect.survey.claims import Owner as Claimant

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.progress import Progress
    from qcow2inspect.survey.survey import Survey
    from qcow2inspect.survey.usage import Stretches, Usage

__all__ = ["MOST", "HostMap", "Owner", "make_host_map"]

MOST = 1 << 26
"""Units of the map at most: one byte each."""


class Owner(IntEnum):
    """What a host cluster belongs to; the higher, the more it must be seen."""

    FREE = 0
    KEPT = 1
    """Guest data that snapshots alone have."""
    DATA = 2
    COMPRESSED = 3
    BITMAP = 4
    LUKS = 5
    SNAPSHOT = 6
    REFCOUNT = 7
    L2 = 8
    L1 = 9
    HEADER = 10
    LEAKED = 11
    """In use by its refcount, and nothing leads to it."""
    CONFLICT = 12
    """Claimed by two that must not share it."""

    @property
    def word(self) -> str:
        """What people call it."""
        return _WORDS[self][0]

    @property
    def role(self) -> str:
        """Colour and glyph."""
        return _WORDS[self][1]


_WORDS = {
    Owner.FREE: ("free", "free"),
    Owner.KEPT: ("snapshot data", "shared"),
    Owner.DATA: ("guest data", "data"),
    Owner.COMPRESSED: ("compressed", "compressed"),
    Owner.BITMAP: ("bitmap", "bitmap"),
    Owner.LUKS: ("LUKS header", "luks"),
    Owner.SNAPSHOT: ("snapshot table", "snapshot"),
    Owner.REFCOUNT: ("refcounts", "refcount"),
    Owner.L2: ("L2 table", "l2"),
    Owner.L1: ("L1 table", "l1"),
    Owner.HEADER: ("header", "header"),
    Owner.LEAKED: ("leaked", "leaked"),
    Owner.CONFLICT: ("conflict", "invalid"),
}


_METADATA = {
    Owner.HEADER: (Claimant.HEADER,),
    Owner.L1: (Claimant.L1, Claimant.L1_SNAPSHOT),
    Owner.L2: (Claimant.L2, Claimant.L2_SNAPSHOT),
    Owner.REFCOUNT: (Claimant.REFCOUNT_TABLE, Claimant.REFCOUNT_BLOCK),
    Owner.SNAPSHOT: (Claimant.SNAPSHOT_TABLE,),
    Owner.LUKS: (Claimant.LUKS,),
    Owner.BITMAP: (Claimant.BITMAP_DIRECTORY, Claimant.BITMAP_TABLE, Claimant.BITMAP_DATA),
}


@dataclass(frozen=True)
class HostMap:
    """What the host clusters belong to.

    Attributes:
        owners: ``uint8`` of :class:`Owner`, one for each unit.
        unit: host bytes of a unit.
        clusters: clusters of a unit.
        end: host bytes of the file.
    """

    owners: npt.NDArray[np.uint8]
    unit: int
    clusters: int
    end: int

    def __len__(self) -> int:
        return len(self.owners)

    def counts(self, start: int = 0, stop: int | None = None) -> dict[Owner, int]:
        """Units of each owner in ``[start, stop)``, the worst first; owners without any are left out."""
        import numpy as np

        found = np.bincount(self.owners[start:stop], minlength=len(Owner)).tolist()
        return {owner: found[owner] for owner in reversed(Owner) if found[owner]}

    def worst(self, start: int, per_cell: int, cells: int) -> npt.NDArray[np.uint8]:
        """The worst owner of each cell.

        Args:
            start: first unit.
            per_cell: units of a cell.
            cells: number of cells.

        Returns:
            ``uint8`` of :class:`Owner`, at most ``cells`` of them.
        """
        import numpy as np

        part = self.owners[start : start + per_cell * cells]
        if not len(part):
            return part
        return np.maximum.reduceat(part, np.arange(0, len(part), per_cell))

    def worst_unit(self, start: int, stop: int) -> int:
        """The first unit of the worst owner in ``[start, stop)``."""
        return start + int(self.owners[start:stop].argmax())

    def next_change(self, offset: int, step: int) -> int | None:
        """Host offset where the next other owner begins (``step`` 1), or this or the one before began (-1)."""
        import numpy as np

        at = offset // self.unit
        if step > 0:
            other = np.flatnonzero(self.owners[at:] != self.owners[at])
            return (at + int(other[0])) * self.unit if len(other) else None
        at = (offset - 1) // self.unit
        if at < 0:
            return None
        other = np.flatnonzero(self.owners[: at + 1][::-1] != self.owners[at])
        return (at - int(other[0]) + 1) * self.unit if len(other) else 0

    def next_bad(self, unit: int, step: int, named: frozenset[int]) -> int | None:
        """The nearest unit after (``step`` 1) or before (-1) ``unit`` that is leaked, in conflict, or named."""
        import numpy as np

        low = unit + 1 if step > 0 else 0
        part = self.owners[low:] if step > 0 else self.owners[:unit]
        found = np.flatnonzero(part >= Owner.LEAKED)
        places = {low + int(found[0 if step > 0 else -1])} if len(found) else set()
        places |= {other for other in named if (other - unit) * step > 0 and other < len(self.owners)}
        return min(places, key=lambda place: abs(place - unit), default=None)


def make_host_map(survey: Survey, progress: Progress | None = None) -> HostMap:
    """The map of an image whose tables were read.

    Raises:
        Cancelled: the user asked to stop.
    """
    import numpy as np

    image = survey.image
    clusters = image.geometry.host_clusters(image.end)
    shift = max(0, (clusters - 1).bit_length() - MOST.bit_length() + 1)
    owners = np.zeros(-(-clusters >> shift), dtype=np.uint8)
    if survey.usage is not None:
        for rows in survey.usage.stretches_of(0, clusters):
            (progress or Silent()).advance(0)
            _paint(owners, rows, shift)
        _paint_metadata(owners, survey.usage, shift)
    return HostMap(owners, image.geometry.cluster_size << shift, 1 << shift, image.end)


def _paint(owners: npt.NDArray[np.uint8], rows: Stretches, shift: int) -> None:
    """Guest data, leaks and conflicts of consecutive stretches."""
    import numpy as np

    values = np.where(rows.stored > 0, np.uint8(Owner.LEAKED), np.uint8(Owner.FREE))
    values[rows.snapshots > 0] = Owner.KEPT
    values[rows.active > 0] = Owner.DATA
    values[rows.packed > 0] = Owner.COMPRESSED
    whole = (rows.active > 0) | (rows.snapshots > 0)
    values[rows.metadata > 0] = Owner.FREE
    values[(rows.metadata > 0) & (whole | (rows.packed > 0)) | (rows.packed > 0) & whole] = Owner.CONFLICT
    if not shift:
        owners[int(rows.start[0]) : int(rows.end[-1])] = np.repeat(values, rows.size)
        return
    for start, end, value in zip(rows.start.tolist(), rows.end.tolist(), values.tolist(), strict=True):
        part = owners[start >> shift : ((end - 1) >> shift) + 1]
        np.maximum(part, np.uint8(value), out=part)


def _paint_metadata(owners: npt.NDArray[np.uint8], usage: Usage, shift: int) -> None:
    """What structure the clusters hold that metadata claims; two kinds in one cluster are a conflict."""
    import numpy as np

    claims = usage.metadata
    for owner, claimants in _METADATA.items():
        some = np.isin(claims.owner, claimants)
        start = claims.start[some] >> shift
        stop = (claims.start[some] + claims.length[some] - 1 >> shift) + 1
        for length in np.unique(stop - start).tolist():
            first = start[stop - start == length]
            if length > 64:
                for low in first.tolist():
                    _put(owners, np.arange(low, min(low + length, len(owners))), owner, exact=not shift)
            else:
                units = (first[:, None] + np.arange(length)).reshape(-1)
                _put(owners, units[units < len(owners)], owner, exact=not shift)


def _put(owners: npt.NDArray[np.uint8], units: npt.NDArray[np.int64], owner: Owner, *, exact: bool) -> None:
    import numpy as np

    old = owners[units]
    values = np.maximum(old, np.uint8(owner))
    if exact:
        values[(old != Owner.FREE) & (old != owner)] = Owner.CONFLICT
    owners[units] = values
