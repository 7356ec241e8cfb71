"""Search for text or bytes in the image file or in the guest disk, without reading what is known to be zero."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.image.view import HostFile
from qcow2inspect.tui.reader import read_chunk
from qcow2inspect.units import GuestRange, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.progress import Progress
    from qcow2inspect.tui.pattern import Pattern

__all__ = ["Hit", "find"]

_SMALLEST, _LARGEST = 1 << 16, 1 << 20
_TURN = 0.004
"""Seconds that an expression may match without a pause: no other thread runs meanwhile."""
_WINDOW = 64 << 20
_STEP = 256


@dataclass(frozen=True, slots=True)
class Hit:
    """What came of a search.

    Attributes:
        offset: where the match begins; None if there is none.
        unread: bytes on the way that could not be searched.
    """

    offset: int | None
    unread: int


# -- where there is something to look at ------------------------------------------------------------------------


class _Places:
    """The ranges of a view that may hold a match, and the bytes that nobody can search."""

    def __init__(self, view: View, pattern: Pattern, progress: Progress) -> None:
        self._view = view
        self._pattern = pattern
        self._progress = progress
        self.unread = 0

    def within(self, start: int, end: int) -> list[range]:
        """Ranges of ``[start, end)``, each wide enough for a match that begins or ends in zeros around it."""
        if self._pattern.is_zero:
            return [range(start, end)] if end > start else []
        pad = self._pattern.size - 1
        wide = (range(max(start, part.start - pad), min(end, part.stop + pad)) for part in self._data(start, end))
        return _merged(wide)

    def _data(self, start: int, end: int) -> Iterator[range]:
        if isinstance(self._view, HostFile):
            for part in self._view.sources[0].data_ranges(HostRange.at(start, max(0, end - start))):
                self._progress.advance(0)
                yield range(part.start, part.end)
            return
        for number, extent in enumerate(self._view.extents(GuestRange.at(start, max(0, end - start)))):
            if number % _STEP == 0:
                self._progress.advance(0)
            if _is_missing(extent):
                self.unread += extent.size
            elif not extent.reads_as_zero:
                yield from self._stored(extent)

    def _stored(self, extent: Extent) -> Iterator[range]:
        """The parts of an extent that are no holes of the file they lie in."""
        source, host = self._view.plain_source(extent), extent.host
        if source is None or host is None:
            yield range(extent.start, extent.end)
            return
        for part in source.data_ranges(host):
            at = extent.start + (part.start - host.start)
            yield range(at, at + part.size)


def _is_missing(extent: Extent) -> bool:
    return extent.error is not None or extent.absent or extent.past_end


def _merged(parts: Iterable[range]) -> list[range]:
    found: list[range] = []
    for part in parts:
        if found and part.start <= found[-1].stop:
            found[-1] = range(found[-1].start, max(found[-1].stop, part.stop))
        else:
            found.append(part)
    return found


# -- the search -------------------------------------------------------------------------------------------------


def find(view: View, pattern: Pattern, start: int, end: int, *, backward: bool, progress: Progress) -> Hit:
    """The first match that begins in ``[start, end)``, or the last one.

    Raises:
        CannotRead: the file cannot be read.
        Cancelled: the user asked to stop.
    """
    places, pace = _Places(view, pattern, progress), _Pace(pattern)
    stop = min(end + pattern.size - 1, view.size)
    progress.begin(f"searching for {pattern.shown[:40]}", max(0, stop - start))
    for window in _windows(start, stop, backward=backward):
        wide = range(window.start, min(stop, window.stop + pattern.size - 1))
        ranges = places.within(wide.start, wide.stop)
        for part in reversed(ranges) if backward else ranges:
            offset = _find_in(view, pace, (part, end), backward=backward, progress=progress)
            if offset is not None:
                return Hit(offset, places.unread)
        progress.advance(len(window))
    return Hit(None, places.unread)


def _windows(start: int, stop: int, *, backward: bool) -> Iterator[range]:
    """Pieces of ``[start, stop)``, larger and larger: what is empty is passed quickly, what is full is cut up."""
    size, low, high = _WINDOW, start, stop
    while low < high:
        step = min(size, high - low)
        yield range(high - step, high) if backward else range(low, low + step)
        low, high = (low, high - step) if backward else (low + step, high)
        size = min(size * 2, 1 << 62)


class _Pace:
    """Matches a pattern, in pieces of as many bytes as take a few milliseconds."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.size = _SMALLEST

    def matches(self, data: bytes, size: int) -> Iterator[tuple[int, int]]:
        """Where matches begin in the first ``size`` bytes and how long they are, overlapping ones too."""
        at, seconds = 0, 0.0
        while True:
            began = time.perf_counter()
            match = self.pattern.regex.search(data, at)
            seconds += time.perf_counter() - began
            if match is None or match.start() >= size:
                break
            yield match.start(), match.end() - match.start()
            at = match.start() + 1
        if seconds < _TURN / 2:
            self.size = min(self.size * 2, _LARGEST)
        elif seconds > _TURN:
            self.size = max(self.size // 2, _SMALLEST)


def _pieces(part: range, pace: _Pace, *, backward: bool) -> Iterator[range]:
    """A range in pieces, at the pace of the search."""
    low, high = part.start, part.stop
    while low < high:
        step = min(pace.size, high - low)
        yield range(high - step, high) if backward else range(low, low + step)
        low, high = (low, high - step) if backward else (low + step, high)


def _find_in(view: View, pace: _Pace, where: tuple[range, int], *, backward: bool, progress: Progress) -> int | None:
    """The first (or last) match in a range that begins before a limit."""
    (part, limit), pattern = where, pace.pattern
    for piece in _pieces(part, pace, backward=backward):
        progress.advance(0)
        chunk = read_chunk(view, piece.start, min(len(piece) + pattern.size - 1, part.stop - piece.start))
        found: int | None = None
        for inside, size in pace.matches(chunk.data, len(piece)):
            at = piece.start + inside
            if at >= limit or any(map(_is_missing, _under(chunk.pieces, at, size))):
                continue
            if pattern.accepts is not None and not pattern.accepts(at):
                continue
            found = at
            if not backward:
                return found
        if found is not None:
            return found
    return None


def _under(pieces: Iterable[Extent], offset: int, size: int) -> Iterator[Extent]:
    return (piece for piece in pieces if piece.guest.start < offset + size and offset < piece.guest.end)
