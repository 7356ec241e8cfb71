"""A map summed up for one column beside the bytes: the whole file or disk from top to bottom, the worst first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qcow2inspect.tui.clustermap import ClusterMap

__all__ = ["PARTS", "Strip", "strip_of"]

PARTS = 1 << 13
"""Parts that a map is summed up in, at most: more than a screen has cells, and few enough to keep."""

_NAMED = 255


@dataclass(frozen=True)
class Strip:
    """What is worst in each of a few thousand parts of a file or disk, and where that is.

    Attributes:
        worst: the worst kind of each part; 255 where a finding of weight names something.
        places: where that begins, in bytes.
        part: bytes of a part.
        size: bytes of the file or disk.
        roles: colour and glyph of each kind.
        words: what people call each kind.
        whole: True if a part is all of one kind.
    """

    worst: bytes
    places: tuple[int, ...]
    part: int
    size: int
    roles: tuple[str, ...]
    words: tuple[str, ...]
    whole: bool

    def role(self, cell: int, cells: int) -> str:
        """Colour and glyph of one of ``cells`` cells."""
        worst = self.worst[self._worst_of(cell, cells)]
        return "invalid" if worst == _NAMED else self.roles[worst]

    def word(self, cell: int, cells: int) -> str:
        """What is worst in one of ``cells`` cells."""
        worst = self.worst[self._worst_of(cell, cells)]
        return "evidence of a finding" if worst == _NAMED else self.words[worst]

    def place(self, cell: int, cells: int) -> int:
        """Where the worst of one of ``cells`` cells begins."""
        start, end = self._bytes(cell, cells)
        return max(start, min(self.places[self._worst_of(cell, cells)], end - 1, self.size - 1))

    def _bytes(self, cell: int, cells: int) -> tuple[int, int]:
        """The bytes of a cell: byte ``at`` lies in cell ``at * cells // size``."""
        return -(-self.size * cell // cells), -(-self.size * (cell + 1) // cells)

    def _worst_of(self, cell: int, cells: int) -> int:
        """The first of the worst parts of a cell; one on the border counts where its worst lies."""
        start, end = self._bytes(cell, cells)
        first = min(start // self.part, len(self.worst) - 1)
        last = min(max(start, end - 1) // self.part, len(self.worst) - 1)
        parts: Sequence[int] = range(first, last + 1)
        if not self.whole:
            parts = [part for part in parts if start <= self.places[part] < end] or parts
        return max(parts, key=self.worst.__getitem__)


def strip_of(made: ClusterMap, bad: Iterable[int]) -> Strip | None:
    """Sum up a map; None if it is empty.

    Args:
        made: the map.
        bad: units that findings of weight name.
    """
    if not len(made):
        return None
    per_part = -(-len(made) // PARTS)
    units, kinds = map(list, zip(*made.owners.first_largest_of(per_part), strict=True))
    worst = bytearray(kinds)
    for unit in sorted(bad, reverse=True):
        if unit < len(made):
            worst[unit // per_part], units[unit // per_part] = _NAMED, unit
    places = tuple(unit * made.unit for unit in units)
    words = tuple(kind.word for kind in made.kinds)
    return Strip(bytes(worst), places, per_part * made.unit, made.end, made.roles, words, per_part == 1)
