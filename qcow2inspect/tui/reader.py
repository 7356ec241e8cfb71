"""Guest bytes in pieces, with the reason beside every piece that cannot be read.

Reads run in a thread of their own: what is there at once is painted at once, what takes longer (a cluster that must
be inflated, a slow medium) is painted when it comes, and no key waits for it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.errors import CannotRead, Qcow2InspectError
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.view import Extent
from qcow2inspect.units import GuestOffset

if TYPE_CHECKING:
    from collections.abc import Callable

    from qcow2inspect.image.view import View

__all__ = ["CHUNK", "Chunk", "GuestReader", "read_chunk"]

CHUNK = 4096
"""Bytes that are read at once."""

_KEPT = 256
_WAITING = 8
_PATIENCE = 0.012


@dataclass(frozen=True, slots=True)
class Chunk:
    """A few guest bytes.

    Attributes:
        start: guest offset of the first.
        data: the bytes; zeros stand where they cannot be read, and the piece there says so.
        pieces: where they come from: extents without gaps; the first and the last may reach further.
    """

    start: int
    data: bytes
    pieces: tuple[Extent, ...]

    def at(self, offset: int) -> Extent:
        """The piece that holds ``offset``, which lies in the chunk."""
        return next(piece for piece in self.pieces if offset < piece.guest.end)


def read_chunk(view: View, start: int, size: int = CHUNK) -> Chunk:
    """The bytes ``[start, start + size)`` of a view, as far as it goes; what cannot be read is said, not raised."""
    end = min(start + size, view.size)
    at, data, pieces = start, b"", []
    while at < end:
        piece, read = _piece(view, at, end)
        data += read
        pieces.append(piece)
        at += len(read)
    return Chunk(start, data, tuple(pieces))


def _piece(view: View, at: int, end: int) -> tuple[Extent, bytes]:
    extent = Extent(at, end, ClusterType.INVALID)
    try:
        extent = view.lookup(GuestOffset(at))
        part = extent.cut(at, min(end, extent.end))
        data = view.read_extent(part)
        if len(data) == part.size:
            return extent, data
        error: Qcow2InspectError = CannotRead(f"guest {part.guest}: the file became shorter while it was read")
    except Qcow2InspectError as caught:
        error = caught
    return extent._replace(error=error), bytes(min(end, extent.end) - at)


class GuestReader:
    """Keeps what was read, and reads ahead of nobody.

    Args:
        ready: called, in another thread, when bytes have come that were asked for and not there.
    """

    def __init__(self, ready: Callable[[], object]) -> None:
        self._ready = ready
        self._view: View | None = None
        self._kept: OrderedDict[int, Chunk] = OrderedDict()
        self._waiting: OrderedDict[int, Future[Chunk]] = OrderedDict()
        self._late: set[int] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.RLock()  # a read that is done at once calls back at once

    @property
    def busy(self) -> bool:
        """True while something that was asked for has not come."""
        return bool(self._waiting)

    def show(self, view: View | None) -> None:
        """Read from ``view`` from now on; None for nothing."""
        with self._lock:
            waiting = list(self._waiting.values())
            self._view = view
            self._kept.clear()
            self._waiting.clear()
            self._late.clear()
        for future in waiting:
            future.cancel()

    def chunk(self, offset: int) -> Chunk | None:
        """The chunk that holds ``offset``; None if it is not there yet."""
        number = offset // CHUNK
        with self._lock:
            kept = self._kept.get(number)
            if kept is not None:
                self._kept.move_to_end(number)
                return kept
            if self._view is None or number in self._waiting:
                return None
            future = self._ask(self._view, number)
        try:
            return future.result(_PATIENCE)
        except (TimeoutError, CancelledError):
            with self._lock:
                if number in self._waiting:
                    self._late.add(number)
                return self._kept.get(number)

    def _ask(self, view: View, number: int) -> Future[Chunk]:
        """Read a chunk in the thread; what was asked for long ago and has not begun is wanted no more."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "guest bytes")
        while len(self._waiting) >= _WAITING:
            old, future = self._waiting.popitem(last=False)
            self._late.discard(old)
            future.cancel()
        future = self._pool.submit(read_chunk, view, number * CHUNK)
        self._waiting[number] = future
        future.add_done_callback(lambda done: self._came(view, number, done))
        return future

    def _came(self, view: View, number: int, done: Future[Chunk]) -> None:
        with self._lock:
            if done.cancelled() or view is not self._view:
                return
            self._waiting.pop(number, None)
            self._kept[number] = done.result()
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            late = number in self._late
            self._late.discard(number)
        if late:
            self._ready()

    def extent(self, offset: int) -> Extent | None:
        """What is known about the byte at ``offset``; None while it is being read."""
        chunk = self.chunk(offset)
        return chunk.at(offset) if chunk is not None and offset < chunk.start + len(chunk.data) else None

    def close(self) -> None:
        """Read no more."""
        self.show(None)
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
