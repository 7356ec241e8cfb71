"""Tables: columns of words with an address. Nothing is read before it is looked at."""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from qcow2inspect.format.mapping import L2Entry, L2EntryExtended, SubclusterBitmap, standard_entry
from qcow2inspect.layout.word import Word
from qcow2inspect.units import HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.format.geometry import Geometry
    from qcow2inspect.layout.word import Column

__all__ = ["L2Table", "Table"]

E = TypeVar("E", bound=Word[Any])


class Table(Generic[E]):
    """``count`` words that lie one after the other at a host offset.

    Attributes:
        at: host offset of the first entry.
        count: number of entries, as the image states it.
        stride: bytes from one entry to the next.
        entry: class of an entry.

    Args:
        at: host offset.
        count: number of entries.
        entry: class of an entry.
        read: gives bytes of the image file at a host offset, zeros past its end.
        stride: bytes from one entry to the next.
    """

    def __init__(
        self, at: HostOffset, count: int, entry: type[E], read: Callable[[int, int], bytes], *, stride: int = 8
    ) -> None:
        self.at = at
        self.count = count
        self.entry = entry
        self.stride = stride
        self._read = read

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> E:
        """Entry ``index``.

        Raises:
            IndexError: there is no such entry.
        """
        return self.entry(self._word(index, 0))

    def _word(self, index: int, which: int) -> int:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return int.from_bytes(self._read(self.at + index * self.stride + 8 * which, 8), "big")

    @property
    def range(self) -> HostRange:
        """All entries, half-open."""
        return HostRange.at(self.at, self.count * self.stride)

    def where(self, index: int) -> HostRange:
        """Host bytes of entry ``index``."""
        return HostRange.at(self.at + index * self.stride, self.stride)

    def words(self, start: int = 0, stop: int | None = None) -> npt.NDArray[np.uint64]:
        """Entries ``[start, stop)`` at once.

        Returns:
            ``uint64`` in native order, shape ``(stop - start, stride // 8)``; row 0 is entry ``start``.
        """
        import numpy as np

        stop = self.count if stop is None else min(stop, self.count)
        data = self._read(self.at + start * self.stride, max(0, stop - start) * self.stride)
        return np.frombuffer(data, dtype=">u8").astype(np.uint64).reshape(-1, self.stride // 8)

    def integers(self, start: int, stop: int) -> Sequence[int]:
        """The first 64 bits of entries ``[start, stop)`` without numpy."""
        words = array("Q", self._read(self.at + start * self.stride, max(0, stop - start) * self.stride))
        if sys.byteorder == "little":
            words.byteswap()
        return words[:: self.stride // 8]

    def column(self, start: int = 0, stop: int | None = None) -> Column:
        """The first 64 bits of entries ``[start, stop)``: ``uint64``, native order, shape ``(stop - start,)``."""
        return self.words(start, stop)[:, 0]


class L2Table(Table[L2Entry[int]]):
    """An L2 table; with extended L2 entries each entry has a second word, the subcluster allocation bitmap.

    Args:
        at: host offset.
        geometry: of the image.
        data: the bytes of the table, exactly one cluster.
    """

    def __init__(self, at: HostOffset, geometry: Geometry, data: bytes) -> None:
        def read(offset: int, size: int) -> bytes:
            return data[offset - at : offset - at + size]

        super().__init__(at, geometry.l2_entries, L2Entry, read, stride=geometry.l2_entry_size)
        self.data = data
        self.extended = geometry.extended_l2

    def bitmap(self, index: int) -> SubclusterBitmap[int]:
        """The subcluster allocation bitmap of entry ``index``; all zero without extended L2 entries.

        Raises:
            IndexError: there is no such entry.
        """
        return SubclusterBitmap(self._word(index, 1) if self.extended else 0)

    def descriptor(self, index: int) -> L2Entry[int] | L2EntryExtended[int]:
        """The first 64 bits of entry ``index`` in the words of a standard cluster descriptor."""
        return standard_entry(self.extended)(self._word(index, 0))
