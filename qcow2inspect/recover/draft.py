"""A header in the making: the bytes as they are stored, with what is assumed so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.format.geometry import CLUSTER_BITS, MAX_L1_ENTRIES, Geometry
from qcow2inspect.format.header import Header
from qcow2inspect.format.mapping import L1Entry
from qcow2inspect.image.assume import assume, header_assumption
from qcow2inspect.image.assumed import Assumption, Assumptions
from qcow2inspect.recover.tables import Looks, look_at
from qcow2inspect.source.protocol import read_padded
from qcow2inspect.units import HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.source.protocol import Source

__all__ = ["Draft"]

_OFFSET = L1Entry.l2_table_offset.mask
_RESERVED = L1Entry.reserved_high.mask | L1Entry.reserved_low.mask
_SAMPLE = 64
_FEW = 32
_MOST_LOOKS = 1 << 16
_BLOCK = 1 << 18
_UNSEEN = Looks(good=1)


class Draft:
    """What is known of the header so far.

    Args:
        source: the image file.
        given: what a person assumes; it is never questioned.
    """

    def __init__(self, source: Source, given: Assumptions) -> None:
        self.source = source
        self.assumed = given
        self._given = {one.name for one in given.all}
        self._measured: tuple[Assumptions | None, Geometry] = None, Geometry(16)
        self._looks: dict[tuple[int, Geometry], Looks] = {}

    @property
    def header(self) -> Header:
        """The header with what is assumed."""
        return Header.read(self.assumed.over(0, read_padded(self.source, 0, Header.SIZE)))

    @property
    def geometry(self) -> Geometry:
        """The sizes that follow from it; the usual ones where the header has none that are possible."""
        if self._measured[0] is not self.assumed:
            header = self.header
            bits = header.cluster_bits if header.cluster_bits in CLUSTER_BITS else 16
            extended = header.incompatible_features.extended_l2 and bits >= 14
            self._measured = self.assumed, Geometry(bits, min(header.refcount_order, 6), extended)
        return self._measured[1]

    def set(self, field: str, value: int, why: str) -> None:
        """Assume that a header field holds ``value``, unless it does."""
        row = Header.row(field)
        data = self.assumed.over(row.at, read_padded(self.source, row.at, row.size))
        if field not in self._given and int.from_bytes(data, "big") != value:
            self.assumed = assume(self.assumed, header_assumption(self.source, row, value, why))

    def set_entry(self, name: str, at: int, value: int, why: str, **more: object) -> None:
        """Assume that the entry at host offset ``at`` holds ``value``."""
        stored = int.from_bytes(read_padded(self.source, at, 8), "big")
        one = Assumption(name, HostRange.at(at, 8), value, stored, why, **more)  # type: ignore[arg-type]  # doubt alone
        if name not in self._given:
            self.assumed = assume(self.assumed, one)

    def words(self, at: int, count: int) -> npt.NDArray[np.uint64]:
        """``count`` numbers of 64 bits at host offset ``at``, as stored; fewer where the file or the limit ends."""
        import numpy as np

        count = max(0, min(count, MAX_L1_ENTRIES, (self.source.size - at) // 8))
        return np.frombuffer(read_padded(self.source, at, 8 * count), dtype=">u8").astype(np.uint64)

    def blocks(self, at: int, count: int) -> Iterator[npt.NDArray[np.uint64]]:
        """As :meth:`words`, in parts: a whole table may be more than memory should hold several times."""
        for start in range(0, min(count, MAX_L1_ENTRIES), _BLOCK):
            yield self.words(at + 8 * start, min(_BLOCK, count - start))

    def used(self, at: int, count: int, most: int) -> list[int]:
        """The first of ``count`` numbers at host offset ``at`` that are not zero."""
        found: list[int] = []
        for part in self.blocks(at, count):
            found += part[part != 0][: most - len(found)].tolist()
            if len(found) == most:
                break
        return found

    def look(self, at: int) -> Looks:
        """How much the cluster at ``at`` looks like an L2 table; each is looked at once.

        No honest image has more tables than are looked at: the rest is taken for what something says it is.
        """
        key = at, self.geometry
        if key not in self._looks:
            if len(self._looks) >= _MOST_LOOKS:
                return _UNSEEN
            try:
                self._looks[key] = look_at(self.source, *key)
            except Qcow2InspectError:
                self._looks[key] = Looks(bad=1)
        return self._looks[key]

    def leads_somewhere(self, words: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which L1 entries lead to a place where an L2 table can be."""
        import numpy as np

        at, inside = words & np.uint64(_OFFSET), np.uint64(self.geometry.cluster_size - 1)
        return np.asarray((at != 0) & (at & inside == 0) & (at < np.uint64(self.source.size)))

    def l1_word(self, index: int) -> int:
        """One entry of the L1 table, with what is assumed of it."""
        at = int(self.header.l1_table_offset) + 8 * index
        return int.from_bytes(self.assumed.over(at, read_padded(self.source, at, 8)), "big")

    def l1_blocks(self, *, backwards: bool = False) -> Iterator[tuple[int, npt.NDArray[np.uint64]]]:
        """The L1 table, with what is assumed of it, in parts: index of the first entry, and the entries."""
        import numpy as np

        header = self.header
        count = min(header.l1_size, MAX_L1_ENTRIES)
        for start in range(0, count, _BLOCK)[:: -1 if backwards else 1]:
            at, size = int(header.l1_table_offset) + 8 * start, 8 * min(_BLOCK, count - start)
            words = np.frombuffer(self.assumed.over(at, read_padded(self.source, at, size)), dtype=">u8")
            yield start, words.astype(np.uint64)

    def refcounts_fit(self, geometry: Geometry) -> bool:
        """True if the first refcount block counts about as many clusters as the file has."""
        import numpy as np

        at = int(self.header.refcount_table_offset)
        if at % geometry.cluster_size or not 0 < at < self.source.size or self.header.refcount_order > 6:
            return False
        block = int.from_bytes(read_padded(self.source, at, 8), "big")
        if not block or block % geometry.cluster_size or block >= self.source.size:
            return False
        data = read_padded(self.source, block, geometry.cluster_size)
        bits = 1 << self.header.refcount_order
        column = np.frombuffer(data, dtype=np.uint8)
        if len(np.unique(column)) > _FEW:  # refcounts are all small numbers
            return False
        used = np.flatnonzero(column) * 8 // bits
        expected = min(len(data) * 8 // bits, geometry.host_clusters(self.source.size))
        return bool(len(used)) and expected * 3 // 4 <= used[-1] + 1 <= expected + 8 // bits + 1

    def l1_score(self, at: int, count: int, geometry: Geometry) -> tuple[int, int]:
        """How well ``count`` words at ``at`` do as L1 table: good entries of the L2 tables, less bad L1 entries."""
        good = bad = 0
        for raw in self.used(at, count, _SAMPLE):
            target = raw & _OFFSET
            if raw & _RESERVED or not target or not geometry.is_aligned(target) or target >= self.source.size:
                bad += 1
                continue
            try:
                looks = look_at(self.source, target, geometry)
            except Qcow2InspectError:
                bad += 1
                continue
            good += looks.good if looks.may_be_table else 0
            bad += not (looks.may_be_table or looks.is_empty)
        return good, bad
