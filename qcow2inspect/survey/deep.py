"""Looks at content on request: compressed clusters are inflated, data that no guest sees is searched for.

::

    L2 tables --+--> compressed entries --> distinct streams in host order --> threads inflate --> streams with a fault
                +--> entries that read as zeros but keep a host cluster --> threads look --> clusters with stale data
    refcounts and owners --> clusters that are free -----------------------> threads look --> clusters with content
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qcow2inspect.errors import Unsupported
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.progress import Silent
from qcow2inspect.survey.odd import OddEntry
from qcow2inspect.survey.residues import MOST_RANGES, Residue, find_residues
from qcow2inspect.survey.streams import DESCRIPTOR, BadStreams, StreamFault, Streams, inflate_streams
from qcow2inspect.survey.unseen import Unseen, look_for_content
from qcow2inspect.survey.walk import read_batches
from qcow2inspect.units import HostRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.progress import Progress
    from qcow2inspect.survey.columns import Ints
    from qcow2inspect.survey.survey import Survey
    from qcow2inspect.survey.tables import Tables
    from qcow2inspect.survey.usage import Stretches, Usage
    from qcow2inspect.survey.walk import Batch

    Mask = npt.NDArray[np.bool_]

__all__ = ["Deep", "look_deep"]

_KEPT = 1024
_EACH = 4
_MOST_STREAMS = 1 << 23
_MOST_RANGES = 1 << 22
_ALLOCATED = 0xFFFF_FFFF


@dataclass
class Deep:
    """What the content of the file says.

    Attributes:
        streams: distinct compressed streams of all states that were inflated.
        bad: those with a fault.
        slack: bytes behind compressed streams that no stream needs, and that are not all zero.
        stale: clusters, or subclusters, that read as zeros and keep other data.
        holes: clusters of guest data of which the file system stores nothing, so that they read as zeros.
        free: clusters that nobody uses and that hold data, up to the last cluster in use.
        trailing: sectors with content behind the last cluster in use.
        residues: all of this and more that no guest sees, by kind, each readable as a view.
        skipped: what was left out, and why.
    """

    streams: int = 0
    bad: dict[StreamFault, BadStreams] = field(default_factory=dict)
    slack: Unseen = field(default_factory=lambda: Unseen(1))
    stale: Unseen = field(default_factory=lambda: Unseen(1))
    holes: Unseen = field(default_factory=lambda: Unseen(1))
    free: Unseen = field(default_factory=lambda: Unseen(1))
    trailing: Unseen = field(default_factory=lambda: Unseen(1))
    residues: list[Residue] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def look_deep(survey: Survey, progress: Progress | None = None) -> Deep:
    """Look at the content of an image: that of the active state and of all snapshots.

    Args:
        survey: what its tables say. A survey of the header alone has nothing to look at.
        progress: told about each of the three steps, in host bytes.

    Raises:
        CannotRead: the image file cannot be read.
        Cancelled: the user asked to stop.
    """
    deep = Deep()
    if survey.tables is not None and survey.usage is not None:
        _Look(survey, survey.tables, deep, progress or Silent()).run(survey.usage)
    return deep


class _Look:
    def __init__(self, survey: Survey, tables: Tables, deep: Deep, progress: Progress) -> None:
        self._survey = survey
        self._tables = tables
        self._deep = deep
        self._progress = progress
        self._image = survey.image
        self._geometry = survey.image.geometry

    def run(self, usage: Usage) -> None:
        if not self._image.has_data_file:  # there no entry leads into this file, and compressed ones are forbidden
            streams, zeros = self._gather()
            self._inflate(streams)
            unit = self._geometry.subcluster_size
            self._deep.stale = self._unseen("Reading clusters that read as zeros", zeros, unit)
            self._deep.holes = self._holes(usage)
        free = _free(usage, min(int(self._image.end), self._survey.qemu.image_end), self._geometry.cluster_bits)
        self._deep.free = self._unseen("Reading free clusters", free, self._geometry.cluster_size)
        self._deep.trailing = self._unseen("Reading behind the last cluster", self._rest(), SECTOR)
        self._deep.residues = find_residues(self._survey, self._deep)

    def _rest(self) -> npt.NDArray[np.int64]:
        """Whole sectors behind the last cluster in use, the last one perhaps cut off: rows start and end."""
        import numpy as np

        start, end = self._survey.qemu.image_end, -(-self._image.end // SECTOR) * SECTOR
        return np.array([[start], [end]] if start < end else [[], []], dtype=np.int64)

    def _unseen(self, what: str, ranges: npt.NDArray[np.int64], unit: int) -> Unseen:
        self._progress.begin(what, int((ranges[1] - ranges[0]).sum()))
        parts = (HostRange.at(start, end - start) for start, end in zip(*ranges.tolist(), strict=True))
        return look_for_content(self._image, parts, unit, self._progress, most=MOST_RANGES)

    def _holes(self, usage: Usage) -> Unseen:
        """Clusters of guest data of which the file system stores nothing."""
        import numpy as np

        image, bits = self._image, self._geometry.cluster_bits
        found = Unseen(self._geometry.cluster_size)
        if image.source.allocated >= image.source.size:
            return found
        parts = itertools.islice(image.source.data_ranges(HostRange.at(0, image.end)), _MOST_RANGES + 1)
        stored = np.array([(part.start, part.end) for part in parts], dtype=np.int64).reshape(-1, 2).T
        if stored.shape[1] > _MOST_RANGES:
            self._deep.skipped.append("which clusters of the host file are holes")
            return found
        whole = -(-image.end >> bits)  # the clusters that the file holds, the last one perhaps in part
        data = _clusters(usage, lambda part: (part.metadata == 0) & (part.active + part.snapshots > 0), whole) << bits
        touched = _union(stored[0] >> bits << bits, -(-stored[1] >> bits) << bits)
        holes = _without(data, touched)
        found.count = int((holes[1] - holes[0]).sum()) >> bits
        found.ranges = [HostRange.at(start, end - start) for start, end in holes[:, :_KEPT].T.tolist()]
        return found

    # -- entries ----------------------------------------------------------------------------------------------

    def _batches(self) -> Iterator[Batch]:
        """The entries of all L2 tables that hold entries."""
        import numpy as np

        tables = self._tables
        usable = np.flatnonzero(~tables.is_phantom & (tables.offsets < self._image.end))
        usable = np.setdiff1d(usable, np.array(sorted(self._survey.overwritten), dtype=np.int64))
        self._progress.begin("Reading tables", len(usable) * self._geometry.cluster_size)
        for done, batch in read_batches(self._image, tables.offsets, usable):
            self._progress.advance(done)
            yield batch

    def _gather(self) -> tuple[Streams, npt.NDArray[np.int64]]:
        """Distinct streams, and ranges that read as zeros: rows start and end, ascending, apart from each other."""
        streams, zeros = _Collected(1, _MOST_STREAMS), _Collected(2, _MOST_RANGES)
        for batch in self._batches():
            rows = batch.compressed & (batch.offset // SECTOR * SECTOR < self._image.end)
            streams.add((batch.raw[rows] & _word(DESCRIPTOR)).view("int64"))
            for start, end in self._zeros(batch):
                zeros.add(start, end)
        if streams.is_full:
            self._deep.skipped.append(f"content of compressed clusters beyond the first {_MOST_STREAMS:,}")
        if zeros.is_full:
            self._deep.skipped.append(f"stale data under zero flags beyond the first {_MOST_RANGES:,} places")
        return Streams.of(streams.columns()[0].view("uint64"), self._geometry.cluster_bits), _union(*zeros.columns())

    def _zeros(self, batch: Batch) -> Iterator[tuple[Ints, Ints]]:
        """Host ranges of clusters, or subclusters, that have a host cluster and do not show it."""
        bits = self._geometry.cluster_bits
        sound = batch.stored & (batch.offset % self._geometry.cluster_size == 0) & (batch.offset < self._image.end)
        if batch.bitmap is None:
            whole = sound & (batch.kind == ClusterType.ZERO_ALLOC)
        else:
            whole = sound & (batch.bitmap & _word(_ALLOCATED) == 0)
        yield batch.offset[whole], batch.offset[whole] + (batch.length[whole] << bits)
        if batch.bitmap is not None:
            yield from self._subclusters(batch, sound & ~whole)

    def _subclusters(self, batch: Batch, mask: npt.NDArray[np.bool_]) -> Iterator[tuple[Ints, Ints]]:
        """The subclusters that are not allocated in clusters of which others are."""
        import numpy as np

        assert batch.bitmap is not None
        rows = np.flatnonzero(mask & (batch.bitmap & _word(_ALLOCATED) != _word(_ALLOCATED)))
        times = batch.length[rows]
        within = np.arange(int(times.sum())) - np.repeat(np.cumsum(times) - times, times)
        offset = np.repeat(batch.offset[rows], times) + (within << self._geometry.cluster_bits)
        bitmap = np.repeat(batch.bitmap[rows], times)
        size = self._geometry.subcluster_size
        for number in range(self._geometry.subclusters):
            start = offset[(bitmap >> _word(number)) & _word(1) == 0] + number * size
            yield start, start + size

    # -- streams ----------------------------------------------------------------------------------------------

    def _inflate(self, streams: Streams) -> None:
        try:
            self._deep.bad, self._deep.slack = inflate_streams(self._image, streams, self._progress, most=_KEPT)
        except Unsupported as error:
            self._deep.skipped.append(f"content of compressed clusters: {error.what}")
            return
        self._deep.streams = len(streams)
        if self._deep.bad:
            self._find_entries()

    def _find_entries(self) -> None:
        """A second look at the tables: which entries lead to the streams with a fault."""
        import numpy as np

        of = {raw: bad for bad in self._deep.bad.values() for raw in bad.streams}
        wanted = np.array(sorted(of), dtype=np.uint64)
        seen: dict[int, int] = {}
        for batch in self._batches():
            raws = batch.raw & _word(DESCRIPTOR)
            for row in np.flatnonzero(batch.compressed & np.isin(raws, wanted)).tolist():
                raw = int(raws[row])
                seen[raw] = seen.get(raw, 0) + 1
                if seen[raw] <= _EACH:
                    of[raw].entries.append(self._entry(batch, row))

    def _entry(self, batch: Batch, row: int) -> OddEntry:
        table = int(batch.table[row])
        mapping = self._survey.states[int(self._tables.state[table])]
        return OddEntry(mapping, int(self._tables.l1_index[table]), int(batch.index[row]), int(batch.raw[row]))


class _Collected:
    """Rows of numbers, each kept once, up to a number of them."""

    def __init__(self, width: int, most: int) -> None:
        import numpy as np

        self._kept = np.zeros((width, 0), dtype=np.int64)
        self._new: list[npt.NDArray[np.int64]] = []
        self._count = 0
        self._most = most
        self.is_full = False

    def add(self, *columns: Ints) -> None:
        """One array for each column, all of one length."""
        import numpy as np

        if self.is_full or not len(columns[0]):
            return
        self._new.append(np.stack(columns))
        self._count += len(columns[0])
        if self._count > max(self._most // 4, self._kept.shape[1]):
            self._join()
            self.is_full = self._kept.shape[1] > self._most

    def _join(self) -> None:
        import numpy as np

        rows = np.concatenate([self._kept, *self._new], axis=1)
        rows = rows[:, np.lexsort(rows[::-1])]
        fresh = np.ones(rows.shape[1], dtype=bool)
        fresh[1:] = (rows[:, 1:] != rows[:, :-1]).any(axis=0)
        self._kept, self._new, self._count = rows[:, fresh], [], 0

    def columns(self) -> npt.NDArray[np.int64]:
        """The distinct rows in ascending order."""
        self._join()
        return self._kept[:, : self._most]


def _union(start: Ints, end: Ints) -> npt.NDArray[np.int64]:
    """Ranges that are in ascending order as ranges that do not touch each other: rows start and end."""
    import numpy as np

    if not len(start):
        return np.zeros((2, 0), dtype=np.int64)
    reach = np.maximum.accumulate(end)
    heads = np.flatnonzero(np.append(True, start[1:] > reach[:-1]))
    return np.stack([start[heads], reach[np.append(heads[1:], len(start)) - 1]])


def _free(usage: Usage, end: int, bits: int) -> npt.NDArray[np.int64]:
    """Clusters before ``end`` that nobody claims and whose refcount is 0: rows start and end."""
    return _clusters(usage, lambda part: part.references + part.phantom + part.stored == 0, -(-end >> bits)) << bits


def _clusters(usage: Usage, is_wanted: Callable[[Stretches], Mask], stop: int) -> npt.NDArray[np.int64]:
    """Clusters below ``stop`` with some property: rows start and end, in clusters."""
    import numpy as np

    parts = [np.zeros((2, 0), dtype=np.int64)]
    for part in usage.stretches():
        rows = is_wanted(part) & (part.start < stop)
        parts.append(np.stack([part.start[rows], part.end[rows]]))
    start, end = np.concatenate(parts, axis=1)
    return _union(start, np.minimum(end, stop))


def _without(ranges: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """What some ranges leave of others; all in ascending order and apart from each other: rows start and end."""
    import numpy as np

    edges = np.unique(np.concatenate([ranges.ravel(), others.ravel()]))
    start, end = edges[:-1], edges[1:]
    rows = _covers(ranges, start) & ~_covers(others, start)
    return _union(start[rows], end[rows])


def _covers(ranges: npt.NDArray[np.int64], places: Ints) -> Mask:
    """True for places inside one of the ranges."""
    import numpy as np

    if not ranges.shape[1]:
        return np.zeros(len(places), dtype=bool)
    which = np.searchsorted(ranges[0], places, side="right") - 1
    inside: Mask = (which >= 0) & (places < ranges[1][which])
    return inside


def _word(value: int) -> np.uint64:
    import numpy as np

    return np.uint64(value)
