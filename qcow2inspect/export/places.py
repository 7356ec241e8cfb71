"""Host bytes that two guest places claim, or that tables hold, however many extents there are.

::

    every extent -> Places.add, in as many passes as Places.wants     what is claimed twice is known, in little memory
    every extent -> Places.doubts, unless Places.is_clear             which extents that concerns
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.survey.columns import Tally, distinct, windows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.image.view import Extent
    from qcow2inspect.survey.columns import Ints

__all__ = ["IN_TABLE", "TWICE", "Doubt", "Places", "apart"]

TWICE = "another guest range lies in the same place of the image file: one of the two is wrong"
IN_TABLE = "a table of the image lies in the same place of the image file"
_STREAMS = 1 << 22
"""Compressed clusters whose places are compared in one pass."""


class Doubt(NamedTuple):
    """A part of an extent that is doubtful.

    Attributes:
        start: first byte of the view.
        end: one past the last byte.
        host: where the first byte lies; -1 for a compressed cluster.
        reason: why.
    """

    start: int
    end: int
    host: int
    reason: str


class Places:
    """What the extents of one image claim.

    Args:
        unit: host bytes that belong to one guest place only, though it may use a part of them.
        end: host offset of the end of the file.
        tables: start and end of where tables lie, in order, apart.
    """

    def __init__(self, unit: int, end: int, tables: tuple[Ints, Ints]) -> None:
        self._unit = unit
        self._claims = Tally(-(-end // unit))
        self._tables = tables
        self._in_tables = False
        self._last = -1
        self._streams = _Streams()
        self._twice: tuple[Ints, Ints] | None = None

    def add(self, extents: Sequence[Extent]) -> None:
        """Note extents: all of the image that can be read, in order, a few thousand at a time."""
        self._streams.add([each.host_start for each in extents if each.kind is ClusterType.COMPRESSED])
        normal = [each for each in extents if each.kind is ClusterType.NORMAL]
        if self._streams.passes or not normal:
            return
        import numpy as np

        start, end, host = _columns(normal)
        tables = self._tables
        self._in_tables = self._in_tables or bool(np.any(_first(tables, host) < _behind(tables, host + end - start)))
        first, last = start // self._unit, (end - 1) // self._unit
        again = first == np.concatenate(([self._last], last[:-1]))  # the same cluster goes on
        self._last = int(last[-1])
        begins = host // self._unit + again
        lengths = (host + end - start - 1) // self._unit + 1 - begins
        some = lengths > 0
        self._claims.add(begins[some], lengths[some], np.ones(int(some.sum()), dtype=np.int64))

    def wants(self) -> bool:
        """True if all extents shall be added once more; ask at the end of a pass."""
        if self._twice is None:
            self._twice = _covered_twice(self._claims, self._unit)
        return self._streams.wants()

    @property
    def is_clear(self) -> bool:
        """True if there is nothing to doubt; known when no more is wanted."""
        return not (self._in_tables or len(self._streams.twice) or (self._twice is not None and len(self._twice[0])))

    def doubts(self, extents: Sequence[Extent]) -> Iterator[Doubt]:
        """What is doubtful about extents of those that were added, a few thousand at a time; may overlap."""
        import numpy as np

        packed = [each for each in extents if each.kind is ClusterType.COMPRESSED]
        if packed and len(self._streams.twice):
            for index in np.flatnonzero(self._streams.are_twice([each.host_start for each in packed])).tolist():
                yield Doubt(packed[index].start, packed[index].end, -1, TWICE)
        normal = [each for each in extents if each.kind is ClusterType.NORMAL]
        if not normal:
            return
        columns = _columns(normal)
        if self._twice is not None:
            yield from _overlaps(columns, self._twice, TWICE)
        yield from _overlaps(columns, self._tables, IN_TABLE)


class _Streams:
    """Where streams start, and which places are those of several; as many passes as memory wants."""

    def __init__(self) -> None:
        import numpy as np

        self._starts = array("q")
        self._low = 0
        self._high: int | None = None
        self.passes = 0
        self.twice: Ints = np.zeros(0, dtype=np.int64)

    def add(self, starts: list[int]) -> None:
        """Note starts in this pass; those that are too many wait for the next one."""
        low, high = self._low, self._high
        if low or high is not None:
            starts = [at for at in starts if at >= low and (high is None or at < high)]
        self._starts.extend(starts)
        if len(self._starts) > _STREAMS:
            self._keep_half()

    def _keep_half(self) -> None:
        import numpy as np

        ordered = np.sort(np.frombuffer(self._starts, dtype=np.int64))
        middle = int(ordered[len(ordered) // 2])
        if middle > int(ordered[0]):
            self._high = middle
            kept = ordered[ordered < middle]
        else:  # half of all are in one place
            kept = np.concatenate((ordered[:2], ordered[ordered > middle]))
        self._starts = array("q", kept.tobytes())

    def wants(self) -> bool:
        """Find those of this pass; True if there are more."""
        import numpy as np

        self.passes += 1
        ordered = np.sort(np.frombuffer(self._starts, dtype=np.int64)) if self._starts else self.twice[:0]
        again = distinct(ordered[1:][ordered[1:] == ordered[:-1]])
        self.twice = np.concatenate((self.twice, again))
        self._starts = array("q")
        if self._high is None:
            return False
        self._low, self._high = self._high, None
        return True

    def are_twice(self, starts: list[int]) -> npt.NDArray[np.bool_]:
        """Which starts are those of several streams, same index."""
        import numpy as np

        column = np.array(starts, dtype=np.int64)
        place = np.minimum(np.searchsorted(self.twice, column), len(self.twice) - 1)
        found: npt.NDArray[np.bool_] = self.twice[place] == column
        return found


def apart(start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Ranges in order, those that overlap or touch joined: their starts and their ends."""
    import numpy as np

    order = np.argsort(start, kind="stable")
    start, end = start[order], np.maximum.accumulate(end[order])
    anew = np.flatnonzero(np.concatenate((np.ones(min(len(start), 1), dtype=np.bool_), start[1:] > end[:-1])))
    return start[anew], end[np.append(anew[1:] - 1, len(end) - 1)] if len(anew) else end


def _columns(extents: list[Extent]) -> tuple[Ints, Ints, Ints]:
    """Guest start, guest end and host start, ``int64``."""
    import numpy as np

    rows = np.array([(each.start, each.end, each.host_start) for each in extents], dtype=np.int64)
    return rows[:, 0], rows[:, 1], rows[:, 2]


def _first(ranges: tuple[Ints, Ints], start: Ints) -> Ints:
    """The first range that ends behind each place."""
    import numpy as np

    return np.searchsorted(ranges[1], start, side="right")


def _behind(ranges: tuple[Ints, Ints], end: Ints) -> Ints:
    """The first range that begins at each place or behind it."""
    import numpy as np

    return np.searchsorted(ranges[0], end)


def _covered_twice(claims: Tally, unit: int) -> tuple[Ints, Ints]:
    """The host bytes that several places claim, in order, apart."""
    import numpy as np

    starts, ends = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for low, high in windows([claims], 0, max(claims.last, 1)):
        part = claims.runs(low, high)
        twice = part.values >= 2
        starts.append(part.starts[twice])
        ends.append(np.append(part.starts[1:], high)[twice])
    return apart(np.concatenate(starts) * unit, np.concatenate(ends) * unit)


def _overlaps(columns: tuple[Ints, Ints, Ints], ranges: tuple[Ints, Ints], reason: str) -> Iterator[Doubt]:
    """The parts of extents that lie in ranges of host bytes."""
    import numpy as np

    start, end, host = columns
    first, last = _first(ranges, host), _behind(ranges, host + end - start)
    for index in np.flatnonzero(first < last).tolist():
        guest, at, stop = int(start[index]), int(host[index]), int(host[index] + end[index] - start[index])
        for number in range(int(first[index]), int(last[index])):
            low, high = max(at, int(ranges[0][number])), min(stop, int(ranges[1][number]))
            yield Doubt(guest + low - at, guest + high - at, low, reason)
