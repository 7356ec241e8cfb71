"""The cluster map: the host file from left to right and top to bottom, a colour for what each part belongs to.

A cell stands for one or many clusters; the worst of them counts, so that one bad cluster among many is seen. Where
one cell is one cluster and all fit, signs are drawn; else half blocks, two rows of cells in one line. Without
colours there are signs only.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from rich.style import Style

from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.messages import CellChosen, FollowAsked
from qcow2inspect.tui.theme import Colors, Ground
from qcow2inspect.tui.widgets.bytespane import merged
from qcow2inspect.tui.widgets.vscroll import VScroll

if TYPE_CHECKING:
    from qcow2inspect.tui.clustermap import ClusterMap
    from qcow2inspect.tui.entropy import Spot
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["MapGrid"]

_ZOOM = 4
_HALF = "▀"


class MapGrid(VScroll):
    """Cells of the host file with a cursor on one of them.

    Attributes:
        map: what is shown; None while it is being made.
        at: the unit of the map under the cursor.
        per_cell: units of a cell.
        bad: units that findings of weight name.
        waiting: what is shown while there is no map.

    Args:
        look: colours and glyphs.
        id: Textual id.
    """

    BINDINGS = bindings("grid")

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self.map: ClusterMap | None = None
        self.at = 0
        self.per_cell = 0
        self.bad: frozenset[int] = frozenset()
        self.waiting = "making the map"
        self._cells: tuple[int, bytes] = (-1, b"")

    # -- geometry ---------------------------------------------------------------------------------------------

    @property
    def columns(self) -> int:
        """Cells in a row."""
        return max(1, self.width - 1)

    @property
    def fitting(self) -> int:
        """Units of a cell with which the whole file is in sight: a power of two."""
        size, room = len(self.map) if self.map else 0, self.columns * max(1, self.height) * self._halves(0)
        per_cell = 1
        while per_cell * room < size:
            per_cell *= 2
        return per_cell

    def _halves(self, per_cell: int) -> int:
        """Rows of cells in one line: 2 with half blocks."""
        if self.look.colors is Colors.NONE or self.look.glyphs.ascii_only or self.map is None:
            return 1
        signs = per_cell in (0, 1) and len(self.map) <= self.columns * max(1, self.height)
        return 1 if signs else 2

    @property
    def halves(self) -> int:
        """Rows of cells in one line."""
        return self._halves(self.per_cell)

    @property
    def cell_count(self) -> int:
        """Cells in all."""
        return -(-len(self.map) // self.per_cell) if self.map and self.per_cell else 0

    @property
    def row_count(self) -> int:
        """Lines in all."""
        return max(1, -(-self.cell_count // (self.columns * self.halves)))

    @property
    def cell(self) -> int:
        """The cell under the cursor."""
        return self.at // max(1, self.per_cell)

    @property
    def units(self) -> range:
        """The units of the cell under the cursor."""
        start = self.cell * self.per_cell
        return range(start, min(start + self.per_cell, len(self.map) if self.map else start))

    @property
    def spot(self) -> Spot:
        """What is in sight."""
        from qcow2inspect.tui.entropy import Spot

        line = self.columns * self.halves
        cells = min(self.height * line, max(0, self.cell_count - self.top * line))
        return Spot(self.top * line * self.per_cell, max(1, self.per_cell), cells)

    # -- showing ----------------------------------------------------------------------------------------------

    def show(self, host_map: ClusterMap, bad: frozenset[int]) -> None:
        """Show a map; ``bad`` are units that findings of weight name."""
        self.map, self.bad = host_map, bad
        self._cells = (-1, b"")
        if not self.per_cell:
            self.per_cell = self.fitting
        self.place(self.at)
        self.refresh()

    def clear(self, waiting: str) -> None:
        """Show no map, but why there is none."""
        self.map, self.bad, self.waiting = None, frozenset(), waiting
        self.at = self.per_cell = self.cursor = self.top = 0
        self.refresh()

    def place(self, unit: int) -> None:
        """Put the cursor on a unit without telling anybody."""
        before = self.cursor
        self.at = max(0, min(unit, (len(self.map) if self.map else 1) - 1))
        self.cursor = self.cell // (self.columns * self.halves)
        self.show_row(self.cursor)
        self.refresh_rows(before, before)
        self.refresh_rows(self.cursor, self.cursor)

    def zoom(self, step: int) -> None:
        """Finer (1) or coarser (-1), around the cursor."""
        wanted = self.per_cell // _ZOOM if step > 0 else self.per_cell * _ZOOM
        wanted = max(1, min(wanted, self.fitting))
        if wanted == self.per_cell or self.map is None:
            return
        line = self.cursor - self.top
        self.per_cell = wanted
        self._cells = (-1, b"")
        self.cursor = self.cell // (self.columns * self.halves)
        self.scroll_top(self.cursor - line)
        self.show_row(self.cursor)
        self.refresh()
        self.post_message(CellChosen())

    def scroll_top(self, top: int) -> None:
        """Other cells come into sight: who looks at their bytes wants to know."""
        before = self.top
        super().scroll_top(top)
        if self.top != before:
            self.post_message(CellChosen())

    # -- painting ---------------------------------------------------------------------------------------------

    def row_ground(self, row: int) -> Ground:
        """Rows have no ground of their own: cells have."""
        del row
        return Ground.PLAIN

    def paint(self, row: int, width: int) -> Line:
        """One line of cells."""
        del width
        if self.map is None:
            return [(f" {self.waiting}", self.look.style("dim"))] if not row else []
        first = row * self.columns * self.halves
        paint = self._signs if self.halves == 1 else self._blocks
        return merged([(" ", self.look.style("text")), *paint(first)])

    def _owners(self, first: int, count: int) -> list[str]:
        """Roles of the cells from ``first`` on, as many as there are."""
        if self.map is None:
            return []
        start = first * self.per_cell
        owners = self.map.worst(start, self.per_cell, count).tolist()
        roles = [self.map.roles[owner] for owner in owners]
        for unit in self.bad:
            if start <= unit < start + len(roles) * self.per_cell:
                roles[(unit - start) // self.per_cell] = "invalid"
        return roles

    def _signs(self, first: int) -> Line:
        line: Line = []
        for number, role in enumerate(self._owners(first, self.columns), first):
            ground = Ground.CURSOR if number == self.cell else Ground.PLAIN
            line.append((self.look.glyphs[role], self.look.style(role, ground)))
        return line

    def _blocks(self, first: int) -> Line:
        """Two rows of cells: the upper one in the foreground, the lower one in the background."""
        upper = self._owners(first, self.columns)
        lower = self._owners(first + self.columns, self.columns)
        line: Line = []
        for column, role in enumerate(upper):
            above = self._colour(role, first + column)
            below = self._colour(lower[column] if column < len(lower) else "", first + self.columns + column)
            if above == below:
                line.append((" ", _style(above, above)))
            else:
                line.append((_HALF, _style(above, below)))
        return line

    def _colour(self, role: str, cell: int) -> str:
        """The colour of a cell as a background; that of the cursor stands out."""
        if cell == self.cell:
            return self.look.cursor
        if not role:
            return self.look.ground
        return self.look.cell(role)

    # -- moving -----------------------------------------------------------------------------------------------

    def _step(self, cells: int) -> None:
        wanted = self.cell + cells
        if 0 <= wanted < self.cell_count:
            self.place(wanted * self.per_cell)
            self.post_message(CellChosen())

    def move_to(self, row: int) -> None:
        """Up and down by a row of cells; pages by lines."""
        by = row - self.cursor
        step = by if abs(by) == 1 else by * self.halves
        limit = max(0, self.cell_count - 1)
        wanted = max(0, min(limit, self.cell + step * self.columns))
        if abs(by) == 1 and not 0 <= self.cell + step * self.columns <= limit:
            return
        self.place(wanted * self.per_cell)
        self.post_message(CellChosen())

    def action_left(self) -> None:
        """One cell back."""
        self._step(-1)

    def action_right(self) -> None:
        """One cell on."""
        self._step(1)

    def action_home(self) -> None:
        """To the first cell."""
        self._step(-self.cell)

    def action_end(self) -> None:
        """To the last cell."""
        self._step(self.cell_count - 1 - self.cell)

    def action_zoom(self, step: int) -> None:
        """Finer or coarser."""
        self.zoom(step)

    def action_next_bad(self, step: int) -> None:
        """To the next or previous cluster that is leaked, claimed twice, or named by a finding."""
        if self.map is None:
            return
        unit = self.map.next_bad(self.at, step, self.bad)
        if unit is not None:
            self.place(unit)
            self.post_message(CellChosen())

    # -- events -----------------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Other columns, other lines; the cursor stays on its cluster."""
        if self.map is not None:
            self.per_cell = min(self.per_cell or self.fitting, self.fitting)
        self.cursor = self.cell // (self.columns * self.halves)
        super().on_resize()
        self.post_message(CellChosen())

    def clicked(self, row: int, x: int, *, double: bool) -> None:
        """A click sets the cursor; a double click explores."""
        cell = row * self.columns * self.halves + x - 1
        if 0 < x <= self.columns and cell < self.cell_count:
            self._step(cell - self.cell)
            if double:
                self.post_message(FollowAsked())


@lru_cache(1024)
def _style(above: str, below: str) -> Style:
    """One for all cells in the same colours: they are joined, and take no memory of their own."""
    return Style(color=above, bgcolor=below)
