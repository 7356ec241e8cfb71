"""Who owns a host cluster: every structure of the image claims the clusters that it occupies.

The claims of metadata are few and kept one by one; those of guest data are counted (:class:`~.columns.Tally`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.survey.columns import Ints

__all__ = ["ANY_FILE", "Claims", "MetadataClaims", "Owner"]

ANY_FILE = 1 << 61
"""Host offset behind the end of any file; sums of two still fit 64 bits."""


class Owner(IntEnum):
    """What a host cluster is used for."""

    FREE = 0
    """Nothing that the image knows of."""
    HEADER = 1
    L1 = 2
    L1_SNAPSHOT = 3
    L2 = 4
    L2_SNAPSHOT = 5
    REFCOUNT_TABLE = 6
    REFCOUNT_BLOCK = 7
    SNAPSHOT_TABLE = 8
    LUKS = 9
    BITMAP_DIRECTORY = 10
    BITMAP_TABLE = 11
    BITMAP_DATA = 12
    DATA = 13
    """Guest data of the active state."""
    DATA_SNAPSHOT = 14
    """Guest data that snapshots alone hold."""
    COMPRESSED = 15
    SEVERAL = 16
    """Claimed by owners that must not share a cluster."""

    @property
    def word(self) -> str:
        """The name that screens and reports use."""
        return _WORDS[self]


_WORDS = {
    Owner.FREE: "free",
    Owner.HEADER: "header",
    Owner.L1: "active L1 table",
    Owner.L1_SNAPSHOT: "L1 table of a snapshot",
    Owner.L2: "L2 table",
    Owner.L2_SNAPSHOT: "L2 table of a snapshot",
    Owner.REFCOUNT_TABLE: "refcount table",
    Owner.REFCOUNT_BLOCK: "refcount block",
    Owner.SNAPSHOT_TABLE: "snapshot table",
    Owner.LUKS: "LUKS header",
    Owner.BITMAP_DIRECTORY: "bitmap directory",
    Owner.BITMAP_TABLE: "bitmap table",
    Owner.BITMAP_DATA: "bitmap data",
    Owner.DATA: "guest data",
    Owner.DATA_SNAPSHOT: "guest data of a snapshot",
    Owner.COMPRESSED: "compressed clusters",
    Owner.SEVERAL: "several owners",
}


@dataclass(frozen=True)
class MetadataClaims:
    """The claims of metadata as columns, in order of host cluster.

    Attributes:
        owner: ``uint8`` of :class:`Owner`.
        start: first host cluster.
        length: number of host clusters.
        weight: how many pointers lead to the structure.
        index: which one of its kind: snapshot, refcount table entry, L2 table (index of the survey's tables), bitmap.
    """

    owner: npt.NDArray[np.uint8]
    start: Ints
    length: Ints
    weight: Ints
    index: Ints

    def of(self, cluster: int) -> list[int]:
        """Positions of the claims on a cluster."""
        import numpy as np

        return np.flatnonzero((self.start <= cluster) & (cluster < self.start + self.length)).tolist()


@dataclass
class Claims:
    """Collects the claims of metadata.

    Attributes:
        cluster_bits: log2 of the cluster size.
        end: host bytes of the file, up to a whole sector.
        beyond: number of claims that reach a cluster or more past the end; they are not counted.
        beyond_owners: the same by owner.
        phantom_beyond: the same of what only QEMU's check takes for L2 tables.
        uncounted: bitmap table entries that are not counted: there are too many.
    """

    cluster_bits: int
    end: int
    beyond: int = 0
    beyond_owners: dict[Owner, int] = field(default_factory=dict)
    phantom_beyond: int = 0
    uncounted: int = 0
    _parts: list[tuple[Owner, Ints, Ints, Ints, Ints]] = field(default_factory=list)

    def claim(self, owner: Owner, offset: int, size: int, index: int = 0, *, weight: int = 1) -> None:
        """One structure of ``size`` bytes at a host offset."""
        import numpy as np

        if 0 < size < 1 << 63 and weight:  # QEMU takes larger sizes for negative ones, and counts nothing
            offset, size = min(offset, ANY_FILE), min(size, ANY_FILE)
            column = (np.array([value], dtype=np.int64) for value in (offset, size, weight, index))
            self.claim_all(owner, *column)

    def claim_all(self, owner: Owner, offsets: Ints, sizes: Ints, weights: Ints, index: Ints) -> None:
        """Many structures of one kind: bytes, bytes, number of pointers, which one."""
        past = offsets + sizes - self.end >= 1 << self.cluster_bits
        if past.any():
            count = int(weights[past].sum())
            self.beyond += count
            self.beyond_owners[owner] = self.beyond_owners.get(owner, 0) + count
            inside = ~past
            offsets, sizes, weights, index = offsets[inside], sizes[inside], weights[inside], index[inside]
        if len(offsets):
            start = offsets >> self.cluster_bits
            stop = ((offsets + sizes - 1) >> self.cluster_bits) + 1
            self._parts.append((owner, start, stop - start, weights, index))

    def columns(self) -> MetadataClaims:
        """All claims so far."""
        import numpy as np

        none = np.zeros(0, dtype=np.int64)
        owner = [np.full(len(part[1]), part[0], dtype=np.uint8) for part in self._parts]
        owners = np.concatenate(owner) if owner else np.zeros(0, dtype=np.uint8)
        start, length, weight, index = (
            np.concatenate([part[i] for part in self._parts]) if self._parts else none for i in (1, 2, 3, 4)
        )
        order = np.argsort(start, kind="stable")
        return MetadataClaims(owners[order], start[order], length[order], weight[order], index[order])
