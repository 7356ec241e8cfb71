"""Small numbers for each of very many units, two in a byte: what a map is made of.

Everything is done a piece at a time, so that no more memory is taken than the numbers themselves have.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.survey.columns import Ints

    Bytes = npt.NDArray[np.uint8]
    Test = Callable[[Bytes], npt.NDArray[np.bool_]]

__all__ = ["LARGEST", "PIECE", "Nibbles", "pieces"]

LARGEST = 15
"""The largest number."""
PIECE = 1 << 15
"""Units that are looked at together: what that takes is small beside all else, and fits a cache."""


def pieces(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """``[start, stop)`` in parts of :data:`PIECE` at most."""
    for low in range(start, stop, PIECE):
        yield low, min(low + PIECE, stop)


class Nibbles:
    """Numbers from 0 to :data:`LARGEST`, at first all 0.

    They lie in memory of their own, not on the heap: what was never written takes none, and all of it is given back
    as soon as nobody wants it. Of the heap large parts would stay with the process, others for each thread.

    Args:
        count: how many there are.
    """

    def __init__(self, count: int) -> None:
        import numpy as np

        self._count = count
        size = -(-count // 2)
        room = mmap.mmap(-1, max(1, size), access=mmap.ACCESS_COPY)  # memory alone, of no file
        self._bytes: Bytes = np.frombuffer(room, dtype=np.uint8)[:size]

    @classmethod
    def of(cls, values: npt.NDArray[np.uint8]) -> Nibbles:
        """The same numbers as an array."""
        made = cls(len(values))
        made.put(0, values)
        return made

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes of memory at most."""
        return len(self._bytes)

    def __getitem__(self, unit: int) -> int:
        """The number of one unit."""
        return int(self._bytes[unit >> 1]) >> (0 if unit & 1 else 4) & LARGEST

    def __setitem__(self, unit: int, value: int) -> None:
        kept = int(self._bytes[unit >> 1]) & (0xF0 if unit & 1 else 0x0F)
        self._bytes[unit >> 1] = kept | (value if unit & 1 else value << 4)

    # -- some of them -----------------------------------------------------------------------------------------

    def part(self, start: int = 0, stop: int | None = None) -> Bytes:
        """A copy of the numbers ``[start, stop)``, a byte for each."""
        stop = self._count if stop is None else min(stop, self._count)
        low = start >> 1
        return self._both(low, -(-stop // 2))[start - 2 * low : max(start, stop) - 2 * low]

    def _both(self, low: int, high: int) -> Bytes:
        """The numbers of the bytes ``[low, high)``."""
        import numpy as np

        pairs = self._bytes[low:high].astype("<u2")  # as pairs, which is four times as fast as one by one
        return (pairs >> 4 | (pairs & np.uint16(LARGEST)) << 8).view(np.uint8)

    def put(self, start: int, values: Bytes) -> None:
        """Put numbers from ``start`` on."""
        for low, high in pieces(start, start + len(values)):
            self._put(low, values[low - start : high - start], larger=False)

    def raise_to(self, start: int, values: Bytes) -> None:
        """Put the larger ones of numbers from ``start`` on."""
        for low, high in pieces(start, start + len(values)):
            self._put(low, values[low - start : high - start], larger=True)

    def _put(self, start: int, values: Bytes, *, larger: bool) -> None:
        import numpy as np

        low, high = start >> 1, -(-(start + len(values)) // 2)
        both = self._both(low, high)
        part = both[start - 2 * low : start - 2 * low + len(values)]
        part[:] = np.maximum(part, values) if larger else values
        pairs = both.view("<u2")
        self._bytes[low:high] = pairs << 4 | pairs >> 8

    def at(self, units: Ints) -> Bytes:
        """The numbers of some units, in their order."""
        import numpy as np

        packed = self._bytes[units >> 1]
        found: Bytes = np.where(units & 1, packed & np.uint8(LARGEST), packed >> 4)
        return found

    def put_at(self, units: Ints, values: Bytes) -> None:
        """Put the numbers of some units."""
        for odd, kept, shift in ((0, 0x0F, 4), (1, 0xF0, 0)):  # two units of one byte in turn
            some = units & 1 == odd
            places = units[some] >> 1
            self._bytes[places] = self._bytes[places] & kept | values[some] << shift

    # -- all of them ------------------------------------------------------------------------------------------

    def largest(self, start: int, per_cell: int, cells: int) -> Bytes:
        """The largest number of each cell.

        Args:
            start: first unit.
            per_cell: units of a cell.
            cells: number of cells, at most.
        """
        import numpy as np

        stop = min(start + per_cell * cells, self._count)
        step = max(1, PIECE // per_cell) * per_cell
        parts = [self._largest(low, min(low + step, stop), per_cell) for low in range(start, stop, step)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint8)

    def _largest(self, start: int, stop: int, per_cell: int) -> Bytes:
        import numpy as np

        if (start | per_cell) & 1:
            part = self.part(start, stop)
            found: Bytes = np.maximum.reduceat(part, np.arange(0, len(part), per_cell))
            return found
        packed = self._bytes[start >> 1 : -(-stop // 2)]
        first = np.arange(0, len(packed), per_cell >> 1)
        even = np.maximum.reduceat(packed, first) >> 4
        odd: Bytes = np.maximum.reduceat(packed & np.uint8(LARGEST), first)
        np.maximum(even, odd, out=odd)
        return odd

    def first_largest(self, start: int, stop: int) -> int:
        """The first unit of ``[start, stop)`` with the largest number; ``start`` where there is none."""
        at, most = start, -1
        for low, high in pieces(start, min(stop, self._count)):
            part = self.part(low, high)
            place = int(part.argmax())
            if part[place] > most:
                at, most = low + place, int(part[place])
        return at

    def first_largest_of(self, per_cell: int) -> Iterator[tuple[int, int]]:
        """The first unit with the largest number of each cell of all, and that number."""
        import numpy as np

        step = max(1, PIECE // per_cell) * per_cell
        for low in range(0, self._count, step):
            part = self.part(low, low + step)
            rows = np.pad(part, (0, -len(part) % per_cell)).reshape(-1, per_cell)
            at = rows.argmax(axis=1) + np.arange(0, rows.size, per_cell)
            yield from zip((at + low).tolist(), part[at].tolist(), strict=True)

    def counts(self, start: int = 0, stop: int | None = None) -> list[int]:
        """How many units of ``[start, stop)`` have each number."""
        import numpy as np

        stop = self._count if stop is None else min(stop, self._count)
        whole = range(-(-start // 2), stop // 2)
        edges = (*self.part(start, min(2 * whole.start, stop)), *self.part(max(2 * whole.stop, start), stop))
        found: Ints = np.bincount(np.array(edges, dtype=np.intp), minlength=LARGEST + 1)
        for low, high in pieces(whole.start, whole.stop):
            both = np.bincount(self._bytes[low:high], minlength=256).reshape(LARGEST + 1, LARGEST + 1)
            found += both.sum(axis=0) + both.sum(axis=1)
        return [int(count) for count in found]

    def first(self, start: int, stop: int, test: Test) -> int | None:
        """The first unit of ``[start, stop)`` whose number passes a test."""
        for low, high in pieces(start, stop):
            passed = test(self.part(low, high))
            if passed.any():
                return low + int(passed.argmax())
        return None

    def last(self, start: int, stop: int, test: Test) -> int | None:
        """The last unit of ``[start, stop)`` whose number passes a test."""
        for high in range(stop, start, -PIECE):
            passed = test(self.part(max(start, high - PIECE), high))
            if passed.any():
                return high - 1 - int(passed[::-1].argmax())
        return None
