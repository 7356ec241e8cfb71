"""Two disks side by side, and what is known so far about where they differ.

Filled in one thread, read in another: what is appended is never changed, and the sums are only ever shown.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from qcow2inspect.image.assumed import NOTHING_ASSUMED
from qcow2inspect.image.parts import Relation, Sums
from qcow2inspect.tui.location import ACTIVE, GuestState, Location
from qcow2inspect.tui.states import base_name
from qcow2inspect.tui.widgets.guestpane import role_of
from qcow2inspect.units import GuestOffset

if TYPE_CHECKING:
    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.parts import Part
    from qcow2inspect.image.view import View

__all__ = ["CELLS", "Comparison", "Side"]

CELLS = 4096
"""Cells of the difference map, of which the screen shows as many as it has room for."""

_KEPT = 1 << 16
_NOTED = (Relation.DIFFERENT, Relation.UNREADABLE)
_WORST = ("", "unallocated", "zero-plain", "zero-alloc", "normal", "compressed", "warning", "invalid")
_RANK = {role: rank for rank, role in enumerate(_WORST)}
_SAME, _MISSING, _ONLY_A, _ONLY_B, _DIFFERENT, _UNREADABLE = range(1, 7)
_SIGNS = {
    0: ("", ""),
    _SAME: ("unallocated", "faint"),
    _MISSING: ("missing", "warn"),
    _ONLY_A: ("only-a", "warn"),
    _ONLY_B: ("only-b", "warn"),
    _DIFFERENT: ("unlike", "bad"),
    _UNREADABLE: ("unknown", "bad"),
}


@dataclass(frozen=True)
class Side:
    """One of the two disks.

    Attributes:
        chain: its file, and what is behind it.
        state: which bytes of the guest.
        view: the bytes.
        is_ours: True if the file is the one that was opened first.
    """

    chain: Chain
    state: GuestState
    view: View
    is_ours: bool = True

    @classmethod
    def other(cls, chain: Chain) -> Side:
        """Another file than the one that was opened first, as it is now.

        Raises:
            Damaged: where its data lies cannot be told.
        """
        return cls(chain, ACTIVE, ACTIVE.view(chain), is_ours=False)

    @property
    def name(self) -> str:
        """Its file."""
        return base_name(self.chain.layers[0])

    @property
    def is_raw(self) -> bool:
        """True if the file is a raw disk."""
        return self.chain.layers[0].image is None

    @property
    def assumed(self) -> Assumptions:
        """What is taken to stand in its metadata."""
        image = self.chain.layers[0].image
        return image.assumed if image is not None else NOTHING_ASSUMED

    @property
    def title(self) -> str:
        """Its state; of another file its name too."""
        if self.is_ours:
            return self.state.title
        return f"{self.name}, {'raw disk' if self.is_raw else self.state.title}{' (ASSUMED)' if self.assumed else ''}"

    def place(self, guest: GuestOffset) -> Location:
        """Where notes and marks of a byte of this side stand: on the Guest screen, if the file is the first one."""
        if self.is_ours:
            return Location(mode="guest", guest=guest, state=self.state)
        return Location(mode="compare", guest=guest, state=GuestState("other", title=self.name))


@dataclass
class Comparison:
    """Two sides, and what came out so far.

    Attributes:
        a: the first side.
        b: the second side.
        parts: ranges that differ or cannot be read, in order; no more than are good to keep.
        sums: of all ranges that were compared.
        known: where what is known ends, in guest bytes.
        reached: where the comparison is.
        is_done: True once all was compared.
        trouble: why the comparison ended before; empty if it did not.
    """

    a: Side
    b: Side
    parts: list[Part] = field(default_factory=list)
    sums: Sums = field(default_factory=Sums)
    known: int = 0
    reached: int = 0
    is_done: bool = False
    trouble: str = ""
    _is_full: bool = False
    _starts: list[int] = field(default_factory=list)
    _kinds: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(CELLS), bytearray(CELLS)))
    _relations: bytearray = field(default_factory=lambda: bytearray(CELLS))

    @property
    def size(self) -> int:
        """Bytes of the larger disk."""
        return max(self.a.view.size, self.b.view.size)

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both."""
        return (self.a, self.b)

    @property
    def is_one_image(self) -> bool:
        """True if both sides are states of one disk: their headers are one."""
        layered = any(side.state.kind == "layer" for side in self.sides)
        return self.a.chain is self.b.chain and not layered

    def side_at(self, place: Location) -> Side | None:
        """The side that has the bytes of a place; None if neither has."""
        return next((side for side in self.sides if side.place(GuestOffset(0)).state == place.state), None)

    def reopened(self, chain: Chain) -> Comparison:
        """The same with another file, that was opened again, in the place of itself; nothing is known about them.

        Raises:
            Damaged: where its data lies cannot be told.
        """
        name = chain.layers[0].name
        a, b = (
            Side.other(chain) if not side.is_ours and side.chain.layers[0].name == name else side for side in self.sides
        )
        return Comparison(a, b)

    def swapped(self) -> Comparison:
        """The same with the sides changed; what was found has to be found again."""
        return Comparison(self.b, self.a)

    # -- filling ----------------------------------------------------------------------------------------------

    def see(self, pair: Part) -> None:
        """Remember what the tables of both sides say, for the map."""
        cells = self._cells(pair)
        for kinds, extent in zip(self._kinds, (pair.a, pair.b), strict=True):
            rank = _RANK[role_of(extent)] if extent is not None else 0
            _raise(kinds, cells, rank)

    def take(self, part: Part) -> None:
        """Remember what was found about a range."""
        self.sums.add(part)
        _raise(self._relations, self._cells(part), _relation(part))
        if part.relation in _NOTED:
            self._is_full |= len(self.parts) >= _KEPT
            if not self._is_full:
                self.parts.append(part)
                self._starts.append(int(part.guest.start))
        self.reached = int(part.guest.end)
        self.known = self.known if self._is_full else self.reached

    def _cells(self, part: Part) -> range:
        size = max(1, self.size)
        return range(part.guest.start * CELLS // size, max(1, -(-part.guest.end * CELLS // size)))

    # -- what is where ----------------------------------------------------------------------------------------

    def part_at(self, offset: int) -> Part | None:
        """The range with a difference that holds ``offset``; None if none is known there."""
        index = bisect_right(self._starts, offset) - 1
        found = self.parts[index] if index >= 0 else None
        return found if found is not None and offset < found.guest.end else None

    def index_of(self, part: Part) -> int:
        """The number of a range among those that are known."""
        return bisect_left(self._starts, int(part.guest.start))

    def near(self, offset: int, step: int) -> Part | None:
        """The next or previous known range with a difference.

        Raises:
            LookupError: there may be one where nothing is known yet.
        """
        if step > 0:
            index = bisect_right(self._starts, offset)
            if index < len(self.parts):
                return self.parts[index]
            if self.known < self.size:
                raise LookupError
            return None
        if offset > self.known:
            raise LookupError
        index = bisect_left(self._starts, offset) - 1
        return self.parts[index] if index >= 0 else None

    def strip(self, row: int, width: int) -> list[tuple[str, str]]:
        """Glyph name and role of each of ``width`` cells of a row of the map: A, B, and how they differ."""
        cells = self._kinds[row] if row < 2 else self._relations
        worst = [
            max(cells[at * CELLS // width : max(at * CELLS // width + 1, (at + 1) * CELLS // width)])
            for at in range(width)
        ]
        if row < 2:
            return [(_WORST[rank], _WORST[rank]) for rank in worst]
        return [_SIGNS[rank] for rank in worst]

    def offset_of(self, cell: int, width: int) -> int:
        """Where a cell of a row of ``width`` begins; the first difference in it, if one is known."""
        start, end = cell * self.size // width, (cell + 1) * self.size // width
        index = bisect_left(self._starts, start)
        return self._starts[index] if index < len(self._starts) and self._starts[index] < end else start

    def renewed(self, chain: Chain) -> Comparison:
        """The same two sides, with what has been opened and unlocked since; nothing is known about them."""
        a, b = (
            replace(side, chain=chain, view=side.state.view(chain)) if side.is_ours else side for side in self.sides
        )
        return Comparison(a, b)


def _raise(cells: bytearray, part: range, rank: int) -> None:
    for index in part:
        cells[index] = max(cells[index], rank)


def _relation(part: Part) -> int:
    if part.relation is Relation.UNREADABLE:
        return _UNREADABLE
    if part.relation is Relation.MISSING:
        return _MISSING
    if part.relation is Relation.SAME:
        return _SAME
    if part.b is None or part.b.reads_as_zero:
        return _ONLY_A
    return _ONLY_B if part.a is None or part.a.reads_as_zero else _DIFFERENT
