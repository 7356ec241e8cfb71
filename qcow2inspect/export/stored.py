"""Which bytes of a file the file system stores, remembered: asking again and again costs more than copying."""

from __future__ import annotations

import threading
from bisect import bisect_right
from typing import TYPE_CHECKING

from qcow2inspect.units import HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.source.protocol import Source

__all__ = ["StoredRanges"]

_MOST = 1 << 14


class StoredRanges:
    """The stored parts of the files that a view reads; safe to use from several threads."""

    def __init__(self) -> None:
        self._known: dict[int, _Runs] = {}
        self._lock = threading.Lock()

    def within(self, source: Source, host: HostRange) -> Iterator[HostRange]:
        """The parts of ``host`` that ``source`` stores, in order."""
        at, end = int(host.start), min(int(host.end), source.size)
        while at < end:
            with self._lock:
                runs = self._known.get(id(source)) or self._known.setdefault(id(source), _Runs(source))
                stop, stored = runs.at(at)
            if stored and at == host.start and stop >= host.end:
                yield host
            elif stored:
                yield HostRange(HostOffset(at), HostOffset(min(stop, end)))
            at = stop


class _Runs:
    """Runs of one file that are known to be stored or holes, sorted, not overlapping."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._starts: list[int] = []
        self._runs: list[tuple[int, bool]] = []

    def at(self, offset: int) -> tuple[int, bool]:
        """Where the run around ``offset`` ends, and whether it is stored."""
        index = bisect_right(self._starts, offset) - 1
        if index >= 0 and self._runs[index][0] > offset:
            return self._runs[index]
        if len(self._starts) >= _MOST:
            self._starts.clear()
            self._runs.clear()
        size = self._source.size
        rest = HostRange(HostOffset(offset), HostOffset(size))
        stored = next(iter(self._source.data_ranges(rest)), HostRange.at(size, 0))
        if stored.start > offset:
            return self._note(offset, int(stored.start), stored=False)
        return self._note(offset, int(stored.end), stored=True)

    def _note(self, start: int, end: int, *, stored: bool) -> tuple[int, bool]:
        """Remember a run; those that it covers are forgotten."""
        first, last = bisect_right(self._starts, start), bisect_right(self._starts, end - 1)
        self._starts[first:last] = [start]
        self._runs[first:last] = [(end, stored)]
        return end, stored
