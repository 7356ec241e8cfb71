"""A map of a file or a disk, half a byte for each cluster, and the kinds that the numbers stand for.

Each kind has a colour and a sign. They are in an order: where a cell of the map stands for many clusters, the worst
of them counts, so that one bad cluster among many is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.findings import Finding
    from qcow2inspect.tui.nibbles import Nibbles

__all__ = [
    "MOST",
    "ClusterMap",
    "Count",
    "Entropy",
    "GuestCount",
    "GuestUse",
    "Kind",
    "Mapped",
    "Owner",
    "Use",
    "named_units",
]

MOST = 1 << 26
"""Units of a map at most: half a byte each."""

_MOST_NAMED = 100_000


class Kind(IntEnum):
    """What a cluster is; the higher, the more it must be seen."""

    @property
    def word(self) -> str:
        """What people call it."""
        return _WORDS[type(self)][self][0]

    @property
    def role(self) -> str:
        """Colour and glyph."""
        return _WORDS[type(self)][self][1]

    @property
    def is_trouble(self) -> bool:
        """True for what should not be."""
        return self.role in ("leaked", "invalid")


class Owner(Kind):
    """What a host cluster belongs to; the higher, the more it must be seen."""

    FREE = 0
    KEPT = 1
    """Guest data that snapshots alone have."""
    DATA = 2
    COMPRESSED = 3
    BITMAP = 4
    LUKS = 5
    SNAPSHOT = 6
    REFCOUNT = 7
    L2 = 8
    L1 = 9
    HEADER = 10
    LEAKED = 11
    """In use by its refcount, and nothing leads to it."""
    CONFLICT = 12
    """Claimed by two that must not share it."""


class Count(Kind):
    """The stored refcount of a host cluster."""

    NONE = 0
    ONE = 1
    TWO = 2
    THREE = 3
    FEW = 4
    MANY = 5
    HIGH = 6
    """More than lead to the cluster."""
    LOW = 7
    """Fewer than lead to the cluster."""


class Use(Kind):
    """Which states of the disk need a host cluster."""

    NONE = 0
    """No state, and its refcount is zero."""
    FILE = 1
    """The file itself: header, refcounts, snapshot table, bitmaps."""
    ACTIVE = 2
    """The active state alone."""
    PACKED = 3
    """Compressed clusters of an image with snapshots: they are not counted by state."""
    SHARED = 4
    """The active state and snapshots."""
    SEVERAL = 5
    """Several snapshots, and not the active state."""
    SNAPSHOT = 6
    """One snapshot alone."""
    LEAKED = 7
    CONFLICT = 8


class GuestCount(Kind):
    """The stored refcount of the host cluster that holds a guest cluster."""

    UNSTORED = 0
    """No host cluster: there is nothing to count."""
    ELSEWHERE = 1
    """In another file, which this image does not count."""
    UNTOLD = 2
    """Where it lies cannot be told, or is no place in the file."""
    ONE = 3
    TWO = 4
    THREE = 5
    FEW = 6
    MANY = 7
    HIGH = 8
    LOW = 9


class GuestUse(Kind):
    """Which states of the disk need the host cluster that holds a guest cluster."""

    UNSTORED = 0
    ELSEWHERE = 1
    UNTOLD = 2
    ACTIVE = 3
    PACKED = 4
    SHARED = 5
    SEVERAL = 6
    SNAPSHOT = 7
    CONFLICT = 8


class Entropy(Kind):
    """How much the stored bytes of a cluster differ, in bits for each byte; from a sample."""

    UNREAD = 0
    """Not in the sample."""
    ZEROS = 1
    """All zero, or a hole of the file."""
    CONSTANT = 2
    SPARSE = 3
    TEXT = 4
    MIXED = 5
    DENSE = 6
    UNREADABLE = 7


class Mapped(Kind):
    """What a guest cluster is in one state of the disk."""

    UNALLOCATED = 0
    ZERO_PLAIN = 1
    ZERO_ALLOC = 2
    BACKING = 3
    """Data of a file behind the image."""
    DATA = 4
    COMPRESSED = 5
    MISSING = 6
    """It would read as zeros, because the file that should hold it ends too early or is not there."""
    UNREADABLE = 7


_WORDS: dict[type[Kind], tuple[tuple[str, str], ...]] = {
    Owner: (
        ("free", "free"),
        ("snapshot data", "shared"),
        ("guest data", "data"),
        ("compressed", "compressed"),
        ("bitmap", "bitmap"),
        ("LUKS header", "luks"),
        ("snapshot table", "snapshot"),
        ("refcounts", "refcount"),
        ("L2 table", "l2"),
        ("L1 table", "l1"),
        ("header", "header"),
        ("leaked", "leaked"),
        ("conflict", "invalid"),
    ),
    Count: (
        ("refcount 0", "free"),
        ("refcount 1", "count-1"),
        ("refcount 2", "count-2"),
        ("refcount 3", "count-3"),
        ("refcount 4-15", "count-4"),
        ("16 and more", "count-16"),
        ("too high", "leaked"),
        ("too low", "invalid"),
    ),
    Use: (
        ("no state", "free"),
        ("the file itself", "use-file"),
        ("active state", "data"),
        ("compressed", "compressed"),
        ("shared", "shared"),
        ("some snapshots", "use-several"),
        ("one snapshot", "snapshot"),
        ("leaked", "leaked"),
        ("conflict", "invalid"),
    ),
    GuestCount: (
        ("nothing stored", "unallocated"),
        ("another file", "shared"),
        ("cannot be told", "untold"),
        ("refcount 1", "count-1"),
        ("refcount 2", "count-2"),
        ("refcount 3", "count-3"),
        ("refcount 4-15", "count-4"),
        ("16 and more", "count-16"),
        ("too high", "leaked"),
        ("too low", "invalid"),
    ),
    GuestUse: (
        ("nothing stored", "unallocated"),
        ("another file", "elsewhere"),
        ("cannot be told", "untold"),
        ("active state", "data"),
        ("compressed", "compressed"),
        ("shared", "shared"),
        ("some snapshots", "use-several"),
        ("one snapshot", "snapshot"),
        ("conflict", "invalid"),
    ),
    Entropy: (
        ("not sampled", "unread"),
        ("zeros, holes", "zero-plain"),
        ("below 1 bit", "bits-1"),
        ("1-4 bits", "bits-4"),
        ("4-6 bits", "bits-6"),
        ("6-7.5 bits", "bits-7"),
        ("7.5-8 bits", "bits-8"),
        ("cannot be read", "invalid"),
    ),
    Mapped: (
        ("unallocated", "unallocated"),
        ("zeros", "zero-plain"),
        ("zeros, reserved", "zero-alloc"),
        ("backing file", "shared"),
        ("guest data", "data"),
        ("compressed", "compressed"),
        ("missing", "leaked"),
        ("cannot be read", "invalid"),
    ),
}


@dataclass(frozen=True)
class ClusterMap:
    """A small number for each part of a file or disk: its kind, the higher the more it must be seen.

    Attributes:
        owners: the :class:`Kind` of each unit.
        unit: bytes of a unit.
        clusters: clusters of a unit.
        end: bytes of the file or disk.
        kinds: what the numbers stand for.
        told: what the kinds tell of a cluster, in one word.
        is_guest: True for a map of guest bytes; False for one of the image file.
    """

    owners: Nibbles
    unit: int
    clusters: int
    end: int
    kinds: type[Kind] = Owner
    told: str = "type"
    is_guest: bool = False

    @cached_property
    def roles(self) -> tuple[str, ...]:
        """Colour and glyph of each kind."""
        return tuple(kind.role for kind in self.kinds)

    @cached_property
    def _trouble(self) -> int:
        """The first kind that is trouble."""
        return min((kind for kind in self.kinds if kind.is_trouble), default=len(self.kinds))

    def __len__(self) -> int:
        return len(self.owners)

    def counts(self, start: int = 0, stop: int | None = None) -> dict[Kind, int]:
        """Units of each kind in ``[start, stop)``, the worst first; kinds without any are left out."""
        found = self._totals if (start, stop) == (0, None) else self.owners.counts(start, stop)
        return {owner: found[owner] for owner in reversed(self.kinds) if found[owner]}

    @cached_property
    def _totals(self) -> list[int]:
        """Units of each kind in all: they are shown at every move."""
        return self.owners.counts()

    def worst(self, start: int, per_cell: int, cells: int) -> npt.NDArray[np.uint8]:
        """The worst kind of each cell.

        Args:
            start: first unit.
            per_cell: units of a cell.
            cells: number of cells.

        Returns:
            ``uint8`` of :attr:`kinds`, at most ``cells`` of them.
        """
        return self.owners.largest(start, per_cell, cells)

    def worst_unit(self, start: int, stop: int) -> int:
        """The first unit of the worst kind in ``[start, stop)``."""
        return self.owners.first_largest(start, stop)

    def next_change(self, offset: int, step: int) -> int | None:
        """Offset where the next other kind begins (``step`` 1), or this or the one before began (-1)."""
        at = (offset if step > 0 else offset - 1) // self.unit
        if at < 0:
            return None
        kind = self.owners[at]
        if step > 0:
            other = self.owners.first(at, len(self), lambda part: part != kind)
            return other * self.unit if other is not None else None
        other = self.owners.last(0, at + 1, lambda part: part != kind)
        return (other + 1) * self.unit if other is not None else 0

    def next_bad(self, unit: int, step: int, named: frozenset[int]) -> int | None:
        """The nearest unit after (``step`` 1) or before (-1) ``unit`` that is trouble, or named."""
        places = {other for other in named if (other - unit) * step > 0 and other < len(self)}
        look, start, stop = (self.owners.first, unit + 1, len(self)) if step > 0 else (self.owners.last, 0, unit)
        found = look(start, stop, lambda part: part >= self._trouble)
        places |= {found} if found is not None else set()
        return min(places, key=lambda place: abs(place - unit), default=None)


def named_units(made: ClusterMap, findings: Iterable[Finding]) -> frozenset[int]:
    """The units of a map in which the evidence of errors lies: all of it is in the image file."""
    if made.is_guest:
        return frozenset()
    heavy = (finding for finding in findings if finding.severity.is_bad)
    units = {evidence.where.start // made.unit for finding in heavy for evidence in finding.evidence}
    return frozenset(sorted(units)[:_MOST_NAMED])
