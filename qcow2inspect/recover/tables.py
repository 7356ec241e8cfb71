"""Which clusters of a file look like L2 tables.

Nothing in an L2 table says that it is one, but hardly anything else is a cluster of 64-bit numbers that all are zero or
multiples of the cluster size inside the file, with the right bits zero, no two alike.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.format.geometry import CLUSTER_BITS, Geometry
from qcow2inspect.format.mapping import L2Entry
from qcow2inspect.progress import Silent
from qcow2inspect.source.protocol import read_padded
from qcow2inspect.units import HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.progress import Progress
    from qcow2inspect.source.protocol import Source

__all__ = ["Looks", "find_geometry", "find_tables", "look_at", "sectors_like_tables"]

_OFFSET = L2Entry.host_cluster_offset.mask
_RESERVED = L2Entry.reserved_high.mask | L2Entry.reserved_low.mask
_COMPRESSED = L2Entry.compressed.mask
_COPIED = L2Entry.copied.mask
_STEP = 4 << 20
_SECTOR = 512
_FAR = 1 << 30
_MOST_TABLES = 1 << 12
_TOLERANCE = 9


@dataclass(frozen=True, slots=True)
class Looks:
    """How much a cluster looks like an L2 table.

    Attributes:
        good: entries that lead to a place in the file.
        beyond: entries that would be good if the file were longer.
        bad: entries that are none.
    """

    good: int = 0
    beyond: int = 0
    bad: int = 0

    @property
    def is_table(self) -> bool:
        """True if it can be nothing else; a few damaged entries do not matter."""
        return self.good > 0 and (self.bad + self.beyond) * _TOLERANCE <= self.good

    @property
    def may_be_table(self) -> bool:
        """True if it is one in all likelihood, given that something points to it."""
        return self.good + self.beyond > 0 and self.bad * _TOLERANCE <= self.good + self.beyond

    @property
    def is_empty(self) -> bool:
        """True if no entry is used."""
        return not (self.good or self.beyond or self.bad)


def look_at(source: Source, at: int, geometry: Geometry) -> Looks:
    """Look at the cluster at host offset ``at``.

    Raises:
        CannotRead: it cannot be read.
    """
    import numpy as np

    data = read_padded(source, at, geometry.cluster_size)
    if data == bytes(geometry.cluster_size):
        return Looks()
    words = np.frombuffer(data, dtype=">u8").astype(np.uint64)
    good, beyond, bad = _entries(words, geometry.cluster_bits, source.size, extended=geometry.extended_l2)
    raw = words[:: 1 + geometry.extended_l2]
    plain = raw[(good | beyond) & (raw & np.uint64(_COMPRESSED) == 0)] & np.uint64(_OFFSET)
    plain = plain[plain != 0]
    double = len(plain) - len(np.unique(plain))
    return Looks(max(0, int(good.sum()) - double), int(beyond.sum()), int(bad.sum()) + double)


Flags = "npt.NDArray[np.bool_]"


def _entries(
    words: npt.NDArray[np.uint64], cluster_bits: int, end: int, *, extended: bool
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which entries are good, lead beyond the end of the file, are bad; one flag an entry in each."""
    import numpy as np

    raw = words[::2] if extended else words
    offset = raw & np.uint64(_OFFSET)
    compressed = (raw & np.uint64(_COMPRESSED)) != 0
    width = 62 - (cluster_bits - 8)
    start = np.where(compressed, raw & np.uint64((1 << width) - 1), offset)
    sound = np.where(
        compressed,
        (raw & np.uint64(_COPIED)) == 0,
        ((raw & np.uint64(_RESERVED)) == 0) & ((offset & np.uint64((1 << cluster_bits) - 1)) == 0),
    )
    used = raw != 0
    if extended:
        bitmap = words[1::2]
        absent = (offset == 0) & ~compressed
        sound &= ((bitmap >> np.uint64(32)) & bitmap) == 0
        sound &= ~absent | ((bitmap & np.uint64(0xFFFF_FFFF)) == 0)
        used |= bitmap != 0
    nowhere = ~compressed & (offset == 0)
    sound &= nowhere | (start >= np.uint64(1 << cluster_bits))
    inside, near = start < np.uint64(end), start < np.uint64(max(64 * end, _FAR))
    good = used & sound & inside & ~nowhere
    beyond = used & sound & ~inside & near
    return good, beyond, used & ~(sound & near)


def _chunks(source: Source, unit: int, progress: Progress) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of what the file stores, whole units at a time."""
    step = max(_STEP, unit)
    last = 0
    for part in source.data_ranges(HostRange.at(0, source.size)):
        at = max(last, int(part.start) // unit * unit)
        while at < part.end:
            size = min(step, -(-(int(part.end) - at) // unit) * unit)
            yield at, read_padded(source, at, size)
            progress.advance(size)
            at += size
        last = at


def _likely(data: bytes, unit: int, stride: int) -> npt.NDArray[np.bool_]:
    """Which units are worth a closer look: not all zeros, and the flags of their first entries are possible."""
    import numpy as np

    rows = np.frombuffer(data, dtype=">u8").reshape(-1, unit // 8)
    flags = rows[:, : 64 * stride : stride].astype(np.uint64) >> np.uint64(56)
    odd = (flags != 0) & (flags != 0x80) & ((flags < 0x40) | (flags > 0x7F))
    used = np.frombuffer(data, dtype=np.uint64).reshape(-1, unit // 8).any(axis=1)
    return np.asarray(used & (odd.sum(axis=1) * 2 <= odd.shape[1]), dtype=np.bool_)


def find_tables(source: Source, geometry: Geometry, progress: Progress | None = None) -> npt.NDArray[np.uint64]:
    """Host offsets of the clusters of the file that look like L2 tables, in order.

    Raises:
        CannotRead: the file cannot be read.
        Cancelled: the user asked to stop.
    """
    import numpy as np

    progress = progress or Silent()
    progress.begin("Looking for L2 tables", source.size)
    found = array("Q")
    size = geometry.cluster_size
    for at, data in _chunks(source, size, progress):
        likely = _likely(data, size, geometry.l2_entry_size // 8)
        for index in np.flatnonzero(likely).tolist():
            if look_at(source, at + index * size, geometry).is_table:
                found.append(at + index * size)
    return np.array(found, dtype=np.uint64)


def sectors_like_tables(source: Source, progress: Progress | None = None) -> dict[bool, npt.NDArray[np.int64]]:
    """Sectors that can be part of an L2 table of some cluster size: numbers; for extended entries under True.

    Raises:
        CannotRead: the file cannot be read.
        Cancelled: the user asked to stop.
    """
    import numpy as np

    progress = progress or Silent()
    progress.begin("Looking for L2 tables of any cluster size", source.size)
    found: dict[bool, list[npt.NDArray[np.int64]]] = {False: [], True: []}
    for at, data in _chunks(source, _SECTOR, progress):
        likely = np.flatnonzero(_likely(data, _SECTOR, 1))
        words = np.frombuffer(data, dtype=">u8").reshape(-1, 64)[likely].astype(np.uint64).reshape(-1)
        for extended, numbers in found.items():
            # 21: the narrowest offset of a compressed entry; 9: the weakest alignment of the others
            plain = _entries(words, 9, source.size, extended=extended)
            packed = _entries(words, 21, source.size, extended=extended)
            good, bad = plain[0] | packed[0], plain[2] & packed[2]
            per_sector = 64 >> extended
            like = (good.reshape(-1, per_sector).sum(axis=1) > 0) & (bad.reshape(-1, per_sector).sum(axis=1) == 0)
            numbers.append(likely[like] + at // _SECTOR)
    return {kind: np.concatenate(numbers or [np.zeros(0, np.int64)]) for kind, numbers in found.items()}


def find_geometry(source: Source, progress: Progress | None = None) -> Geometry | None:
    """The cluster size, and kind of L2 entries, that explains most of the file; None if nothing looks like a table.

    Raises:
        CannotRead: the file cannot be read.
        Cancelled: the user asked to stop.
    """
    import numpy as np

    best: tuple[int, int] = (0, 0)
    chosen: Geometry | None = None
    for extended, sectors in sectors_like_tables(source, progress).items():
        for bits in reversed(CLUSTER_BITS):
            if extended and bits < 14:
                break
            geometry = Geometry(bits, extended_l2=extended)
            clusters = np.unique(sectors >> (bits - 9))[:_MOST_TABLES].tolist()
            looks = [look_at(source, cluster << bits, geometry) for cluster in clusters]
            good = sum(one.good for one in looks if one.is_table)
            if (good, bits) > best and good > best[0]:
                best, chosen = (good, bits), geometry
    return chosen
