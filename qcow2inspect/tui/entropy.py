"""How much the stored bytes of clusters differ: sampled, a few kibibytes of a few clusters for each cell in sight.

Bytes are taken as they are stored: compressed and encrypted clusters are neither inflated nor decrypted, so that both
look like noise. What is a hole, or what the tables say reads as zeros, is not read at all.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui import clustermap
from qcow2inspect.tui.clustermap import ClusterMap, Entropy
from qcow2inspect.tui.nibbles import Nibbles
from qcow2inspect.units import GuestOffset, GuestRange, HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.progress import Progress
    from qcow2inspect.source.protocol import Source
    from qcow2inspect.tui.clustermap import Kind
    from qcow2inspect.tui.session import Session

__all__ = [
    "CLUSTERS_OF_A_CELL",
    "MEANINGS",
    "SAMPLE",
    "EntropyMap",
    "Spot",
    "bits_of",
    "kind_of",
    "make_entropy_map",
    "sample",
    "stored_for_guest",
    "stored_on_host",
]

CLUSTERS_OF_A_CELL = 4
"""Clusters of a cell that are looked at, at most."""
SAMPLE = 4096
"""Bytes of a cluster that are read, at most: in four pieces that are spread over it."""
MEANINGS = {
    Entropy.CONSTANT: "hardly anything but one byte",
    Entropy.SPARSE: "tables, sparse records",
    Entropy.TEXT: "text, code",
    Entropy.MIXED: "programs, media, mixed",
    Entropy.DENSE: "like compressed or encrypted",
}
"""What bytes of such entropy often are."""

_PIECES = 4
_BORDERS = (1.0, 4.0, 6.0, 7.5)


@dataclass(frozen=True)
class EntropyMap(ClusterMap):
    """A map that is filled while it is looked at.

    Attributes:
        cluster_size: bytes of a cluster; of a unit of several the first is looked at.
        tally: units of each kind so far.
    """

    cluster_size: int = 1
    tally: list[int] = field(default_factory=lambda: [0] * len(Entropy))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def sampled(self) -> int:
        """Units that were looked at."""
        return sum(self.tally)

    def counts(self, start: int = 0, stop: int | None = None) -> dict[Kind, int]:
        """Units of each kind; those of the whole map that were looked at."""
        if (start, stop) != (0, None):
            return super().counts(start, stop)
        return {kind: self.tally[kind] for kind in reversed(Entropy) if self.tally[kind]}

    def put(self, unit: int, kind: Entropy) -> None:
        """A unit was looked at; by a thread that is about to stop, perhaps, while the next one works."""
        with self._lock:
            self.owners[unit] = kind
            self.tally[kind] += 1


@dataclass(frozen=True, slots=True)
class Spot:
    """The part of a map that is in sight.

    Attributes:
        start: its first unit.
        per_cell: units of a cell.
        cells: number of cells.
    """

    start: int
    per_cell: int
    cells: int

    def units(self, count: int) -> Iterator[int | None]:
        """The units to look at, of ``count``: one of each cell, then another of each; None where there is no other."""
        turns = min(CLUSTERS_OF_A_CELL, self.per_cell)
        for turn in range(turns):
            inside = self.per_cell * (2 * turn + 1) // (2 * turns)
            for cell in range(self.cells):
                unit = self.start + cell * self.per_cell + inside
                yield unit if unit < count else None


def make_entropy_map(size: int, cluster_size: int, *, is_guest: bool) -> EntropyMap:
    """The map of a file or disk of which nothing was looked at yet."""
    clusters = -(-size // cluster_size)
    shift = max(0, (clusters - 1).bit_length() - clustermap.MOST.bit_length() + 1)
    unit, values = cluster_size << shift, Nibbles(-(-clusters >> shift))
    return EntropyMap(values, unit, 1 << shift, size, Entropy, "entropy (sampled)", is_guest, cluster_size)


def bits_of(data: bytes) -> float:
    """The entropy of some bytes in bits for each: 0 for equal ones, 8 for noise, also where there are few of them.

    A short sample of noise has not every byte equally often; what it lacks for that is added (Miller and Madow 1955).
    """
    import numpy as np

    counts = np.bincount(np.frombuffer(data, dtype=np.uint8))
    counts = counts[counts > 0]
    size = len(data)
    found = np.log2(size) - float((counts * np.log2(counts)).sum()) / size
    return min(8.0, float(found) + (len(counts) - 1) / (2 * size * float(np.log(2))))


def kind_of(data: bytes | None) -> Entropy:
    """The kind of sampled bytes; none at all were zeros that need no look."""
    if data is None:
        return Entropy.UNREADABLE
    if data.count(0) == len(data):
        return Entropy.ZEROS
    bits = bits_of(data)
    return Entropy(Entropy.CONSTANT + sum(bits >= border for border in _BORDERS))


# -- what is stored ---------------------------------------------------------------------------------------------


def stored_on_host(session: Session, made: EntropyMap) -> Callable[[int], bytes | None]:
    """What gives a sample of the bytes of a unit of the image file; None if they cannot be read."""
    source = session.image.source

    def read(unit: int) -> bytes | None:
        start = unit * made.unit
        return _sample(source, HostRange.at(start, min(made.cluster_size, source.size - start)))

    return read


def stored_for_guest(session: Session, view: View, made: EntropyMap) -> Callable[[int], bytes | None]:
    """The same for the host bytes that hold a unit of a guest disk, in whatever file."""

    def read(unit: int) -> bytes | None:
        start = unit * made.unit
        cluster = GuestRange(GuestOffset(start), GuestOffset(min(start + made.cluster_size, view.size)))
        try:
            extent = _stored(view, cluster)
        except Qcow2InspectError:
            return None
        if extent.host is None or extent.reads_as_zero:
            return None if extent.error is not None or extent.past_end or extent.absent else b""
        return None if extent.past_end else _sample(_file_of(session, extent), extent.host)

    return read


def _stored(view: View, cluster: GuestRange) -> Extent:
    """The first part of a cluster that is stored; the first part if none is."""
    first = view.lookup(cluster.start)
    if first.guest.end >= cluster.end or not first.reads_as_zero:
        return first.cut(int(cluster.start), min(first.end, int(cluster.end)))
    parts = list(view.extents(cluster))
    return next((part for part in parts if not part.reads_as_zero), parts[0])


def _file_of(session: Session, extent: Extent) -> Source:
    from qcow2inspect.format.mapping import ClusterType
    from qcow2inspect.tui.supply import supplier

    layer = supplier(session, extent)[1]
    apart = layer.data_file is not None and not isinstance(layer.data_file, Qcow2InspectError)
    if apart and extent.kind is not ClusterType.COMPRESSED:
        assert layer.data_file is not None
        assert not isinstance(layer.data_file, Qcow2InspectError)
        return layer.data_file
    return layer.source


def _sample(source: Source, where: HostRange) -> bytes | None:
    """A few pieces of some host bytes; none of a hole, None if they cannot be read."""
    size = min(where.size, source.size - where.start)
    if size <= 0:
        return None
    try:
        if next(iter(source.data_ranges(HostRange.at(where.start, size))), None) is None:
            return b""
        if size <= SAMPLE:
            return source.read_at(where.start, size) or None
        step, piece = (size - SAMPLE // _PIECES) // (_PIECES - 1), SAMPLE // _PIECES
        starts = (HostOffset(where.start + number * step) for number in range(_PIECES))
        return b"".join(source.read_at(start, piece) for start in starts) or None
    except Qcow2InspectError:
        return None


def sample(made: EntropyMap, spot: Spot, stored: Callable[[int], bytes | None], progress: Progress) -> None:
    """Look at the clusters in sight that were not looked at yet.

    Raises:
        Cancelled: the user asked to stop, or went on.
    """
    progress.begin("sampling the entropy", spot.cells * min(CLUSTERS_OF_A_CELL, spot.per_cell))
    for unit in spot.units(len(made)):
        if unit is not None and not made.owners[unit]:
            made.put(unit, kind_of(stored(unit)))
        progress.advance(1)
