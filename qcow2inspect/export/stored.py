"""Which bytes of a file the file system stores, remembered: asking again and again costs more than copying."""

from __future__ import annotations

import threading
from bisect import bisect_right
from typing import TYPE_CHECKING

from qcow2inspect.units import HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qcow2inspect.source.protocol import Source

__all__ = ["StoredRanges"]

_MOST = 1 << 14
_REACH = 64


class StoredRanges:
    """The stored parts of the files that a view reads; safe to use from several threads."""

    def __init__(self) -> None:
        self._known: dict[int, _Runs] = {}
        self._lock = threading.Lock()

    def within(self, source: Source, start: int, end: int) -> Iterable[tuple[int, int]]:
        """Start and end of the parts of the host bytes ``[start, end)`` that ``source`` stores, in order."""
        known = self._known.get(id(source))
        return ((start, end),) if known and known.whole and end <= source.size else self._within(source, start, end)

    def _within(self, source: Source, start: int, end: int) -> Iterator[tuple[int, int]]:
        at, end = start, min(end, source.size)
        while at < end:
            with self._lock:
                runs = self._known.get(id(source)) or self._known.setdefault(id(source), _Runs(source))
                stop, stored = runs.at(at)
            if stored:
                yield at, min(stop, end)
            at = stop


class _Runs:
    """Runs of one file that are known to be stored or holes, sorted, not overlapping.

    A file for which as much is stored as it is long has no holes: nothing need be asked, which takes its time where
    the file system looks at every page. If it has some nevertheless, their zeros are copied.

    Attributes:
        whole: all of the file is stored.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._starts: list[int] = []
        self._runs: list[tuple[int, bool]] = []
        self.whole = source.allocated >= source.size
        if self.whole:
            self._note(0, source.size, stored=True)

    def at(self, offset: int) -> tuple[int, bool]:
        """Where the run around ``offset`` ends, and whether it is stored."""
        index = bisect_right(self._starts, offset) - 1
        if index >= 0 and self._runs[index][0] > offset:
            return self._runs[index]
        if len(self._starts) >= _MOST:
            self._starts.clear()
            self._runs.clear()
            index = -1
        known = self._runs[index][0] if index >= 0 else 0
        few = len(self._starts) < _REACH  # in a file of many holes each is soon reached from where it is asked for
        found = self._look(known, offset, _REACH) if few else None
        return found or self._look(offset, offset, 1) or (self._source.size, False)

    def _look(self, start: int, offset: int, most: int) -> tuple[int, bool] | None:
        """The run around ``offset``, looked for from ``start`` on; None if it is more than ``most`` runs away.

        From the last run that is known before it: asked at places in any order, a file system that looks at every page
        would look at the same ones time and again.
        """
        rest = HostRange(HostOffset(start), HostOffset(self._source.size))
        for number, part in enumerate(self._source.data_ranges(rest)):
            if number == most:
                return None
            if part.start > start:
                found = self._note(start, int(part.start), stored=False)
                if offset < part.start:
                    return found
            start = int(part.end)
            found = self._note(int(part.start), start, stored=True)
            if offset < start:
                return found
        return self._note(start, self._source.size, stored=False)

    def _note(self, start: int, end: int, *, stored: bool) -> tuple[int, bool]:
        """Remember a run; those that it covers are forgotten."""
        first, last = bisect_right(self._starts, start), bisect_right(self._starts, end - 1)
        self._starts[first:last] = [start]
        self._runs[first:last] = [(end, stored)]
        return end, stored
