"""What can be said about the bytes of two views, part by part, and how much there is of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from qcow2inspect.units import GuestRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qcow2inspect.errors import Qcow2InspectError
    from qcow2inspect.image.view import Extent
    from qcow2inspect.units import GuestOffset

__all__ = ["NEAR", "Part", "Relation", "Sums", "joined"]

NEAR = 512
"""Differences with fewer equal bytes between them are one."""


class Relation(Enum):
    """What can be said about the bytes of two views at one place."""

    SAME = "same"
    """They are equal."""
    DIFFERENT = "different"
    """They are not."""
    MISSING = "missing"
    """They would be equal, but one side is zeros only because its file is not there or ends too early."""
    UNREADABLE = "unreadable"
    """One side cannot be read."""


@dataclass(frozen=True, slots=True)
class Part:
    """A range in which one thing can be said about two views.

    Attributes:
        guest: bytes of both views, half-open; a part that differs begins and ends with a byte that does.
        relation: what can be said.
        a: what the first view says where the part begins; None past the end of it.
        b: what the second view says.
        was_read: False if the tables alone told.
        differing: bytes that differ; there may be equal ones between them, see :data:`NEAR`.
        error: why one side cannot be read.
    """

    guest: GuestRange
    relation: Relation
    a: Extent | None
    b: Extent | None
    was_read: bool = False
    differing: int = 0
    error: Qcow2InspectError | None = None

    @property
    def missing(self) -> bool:
        """True if a side reads as zeros for want of data."""
        return _is_missing(self.a) or _is_missing(self.b)

    @property
    def same(self) -> Part:
        """This part with equal bytes, as far as they are there."""
        return replace(self, relation=Relation.MISSING if self.missing else Relation.SAME)

    def cut(self, guest: GuestRange) -> Part:
        """The piece of this part that ``guest`` is."""
        a, b = (side.cut(int(guest.start), int(guest.end)) if side is not None else None for side in (self.a, self.b))
        return replace(self, guest=guest, a=a, b=b)

    def inside(self, start: int, end: int) -> Part:
        """The piece from byte ``start`` to byte ``end`` of this part, which is not included."""
        return self.cut(GuestRange.at(self.guest.start + start, end - start))


@dataclass(slots=True)
class Sums:
    """How many bytes of each relation there are.

    Attributes:
        by_tables: the same, as the tables tell without a look at the bytes.
        by_bytes: the same, as reading them told.
        different: in ranges that differ.
        differing: bytes that differ themselves.
        ranges: ranges that differ.
        missing: bytes of which a side is zeros for want of data, whether they differ or not.
        unreadable: bytes of which a side cannot be read.
        first: where the first difference begins; None if there is none.
        error: the first reason why something cannot be read.
    """

    by_tables: int = 0
    by_bytes: int = 0
    different: int = 0
    differing: int = 0
    ranges: int = 0
    missing: int = 0
    unreadable: int = 0
    first: GuestOffset | None = None
    error: Qcow2InspectError | None = None

    def add(self, part: Part) -> None:
        """Count one more part."""
        size = part.guest.size
        if part.missing and part.relation is not Relation.UNREADABLE:
            self.missing += size
        if part.relation is Relation.DIFFERENT:
            self.ranges += 1
            self.different += size
            self.differing += part.differing
            self.first = part.guest.start if self.first is None else self.first
        elif part.relation is Relation.UNREADABLE:
            self.unreadable += size
            self.error = self.error or part.error
        elif part.relation is Relation.SAME and part.was_read:
            self.by_bytes += size
        elif part.relation is Relation.SAME:
            self.by_tables += size


def _is_missing(extent: Extent | None) -> bool:
    return extent is not None and extent.error is None and (extent.past_end or extent.absent)


def joined(parts: Iterable[Part]) -> Iterator[Part]:
    """Parts that say the same as one; differences with little between them too."""
    held: Part | None = None  # what may still grow
    gap: Part | None = None  # the equal bytes after a difference, while they are few
    for part in parts:
        if held is None:
            held = part
        elif gap is not None and part.relation is Relation.DIFFERENT:
            held, gap = _extended(held, part), None
        elif gap is not None and part.relation is gap.relation and gap.guest.size + part.guest.size < NEAR:
            gap = _extended(gap, part)
        elif gap is None and _is_one(held, part):
            held = _extended(held, part)
        elif gap is None and held.relation is Relation.DIFFERENT and _is_gap(part):
            gap = part
        else:
            yield held
            if gap is not None and _is_one(gap, part):
                held, gap = _extended(gap, part), None
                continue
            if gap is not None:
                yield gap
            held, gap = part, None
    yield from (part for part in (held, gap) if part is not None)


def _is_gap(part: Part) -> bool:
    return part.relation is Relation.SAME and part.guest.size < NEAR


def _is_one(held: Part, part: Part) -> bool:
    return (held.relation, held.was_read, held.missing) == (part.relation, part.was_read, part.missing) and (
        held.error is part.error
    )


def _extended(held: Part, part: Part) -> Part:
    guest = GuestRange(held.guest.start, part.guest.end)
    return replace(held, guest=guest, differing=held.differing + part.differing)
