"""The findings, heaviest first; each leads to the bytes that prove it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.messages import EdgeReached, JumpAsked
from qcow2inspect.tui.nearby import place_of
from qcow2inspect.tui.theme import Ground
from qcow2inspect.tui.widgets.paint import columns, wrapped
from qcow2inspect.tui.widgets.vscroll import VScroll
from qcow2inspect.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from textual.geometry import Size

    from qcow2inspect.findings import Finding, Severity
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["FindingsList"]

_TALLEST = 400
_NOWHERE = -1


@dataclass(frozen=True, slots=True)
class _Row:
    """One painted row.

    Attributes:
        line: what it shows.
        stop: number of the place the cursor can stand on; all rows of one place share it; -1 for a heading.
    """

    line: Line
    stop: int


class FindingsList(VScroll):
    """A list that walks from finding to finding, and into the evidence of each.

    Args:
        look: colours and glyphs.
        id: Textual id.
        grouped: put a heading above the findings of each severity.
    """

    BINDINGS = bindings("findings")

    def __init__(self, look: Look, *, id: str | None = None, grouped: bool = False) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self._grouped = grouped
        self._filtered = False
        self._findings: Sequence[Finding] = ()
        self._complete = False
        self._unfolded: set[int] = set()
        self._stops: list[tuple[int, int | None]] = []
        self._rows: list[_Row] | None = None
        self._rows_width = 0

    def show(self, findings: Sequence[Finding], *, complete: bool, filtered: bool = False) -> None:
        """Show findings.

        Args:
            findings: heaviest first.
            complete: False while the image is still being looked at.
            filtered: True if these are not all.
        """
        if findings != self._findings:
            self._unfolded.clear()
        self._findings, self._complete, self._filtered = findings, complete, filtered
        self._changed()

    @property
    def finding(self) -> Finding | None:
        """The finding under the cursor."""
        self.rows_for(self.width)
        number = self._stops[self.cursor][0] if self._stops else -1
        return self._findings[number] if number >= 0 else None

    def _changed(self) -> None:
        self._rows = None
        self.refresh(layout=True)

    # -- rows -------------------------------------------------------------------------------------------------

    @property
    def row_count(self) -> int:
        """Number of rows."""
        return len(self.rows_for(self.width))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many rows as there are, up to a limit from which the list scrolls by itself."""
        del container, viewport
        return min(_TALLEST, len(self.rows_for(max(1, width - 1))))

    def rows_for(self, width: int) -> list[_Row]:
        """The rows for a width, composed when it changes."""
        if self._rows is None or width != self._rows_width:
            self._stops = []
            self._rows = list(self._make_rows(max(20, width)))
            self._rows_width = width
            self.cursor = min(self.cursor, max(0, len(self._stops) - 1))
        return self._rows

    def recolour(self) -> None:
        """Compose the rows again."""
        self._rows = None
        self.refresh()

    def _make_rows(self, width: int) -> Iterator[_Row]:
        if not self._findings:
            role, text = ("good", "nothing to report") if self._complete else ("dim", "looking at the tables")
            sign = self.look.glyphs["yes" if self._complete else "more"]
            if self._filtered:
                role, text, sign = "dim", "no finding has these words", self.look.glyphs["dot"]
            self._stops.append((-1, None))
            yield _Row([(f" {sign} {text}", self.look.style(role))], 0)
        for number, finding in enumerate(self._findings):
            if self._grouped and (not number or self._findings[number - 1].severity != finding.severity):
                yield from self._heading(number, finding.severity, width)
            self._stops.append((number, None))
            stop = len(self._stops) - 1
            yield _Row(self._head(number, finding, width), stop)
            for part in wrapped(self.look.glyphs.text(finding.message), width - 5):
                yield _Row([(f"   {part}", self.look.style("text"))], stop)
            yield from self._evidence(number, finding, width)

    def _heading(self, number: int, severity: Severity, width: int) -> Iterator[_Row]:
        """The name of a severity, and how many there are."""
        same = [finding for finding in self._findings if finding.severity == severity]
        places = sum(finding.count for finding in same)
        words = f"{counted(len(same), 'kind')}, {counted(places, 'place')}"
        line = self.look.glyphs["empty"]
        left = [(f" {severity} ", self.look.style(str(severity))), (f"{words} ", self.look.style("dim"))]
        used = sum(len(text) for text, _ in left)
        if number:
            yield _Row([], _NOWHERE)
        yield _Row([*left, (line * max(0, width - used - 1), self.look.style("faint"))], _NOWHERE)

    def _head(self, number: int, finding: Finding, width: int) -> Line:
        glyphs, style = self.look.glyphs, self.look.style
        severity = str(finding.severity)
        count = f" ×{finding.count:,}" if finding.count > 1 else ""
        left = [
            (f" {glyphs[severity]} {severity} ", style(severity)),
            (finding.code, style("dim")),
            (glyphs.text(count), style("strong")),
        ]
        places = len(finding.evidence)
        if not places:
            return left
        first = finding.evidence[0]
        fold = f"{glyphs['open' if number in self._unfolded else 'closed']} {places} places" if places > 1 else ""
        where = fold or f"{first.where.start} {glyphs.text(first.path)}"
        return columns(left, [(f"{where} ", style("dim"))], width, style("text"))

    def _evidence(self, number: int, finding: Finding, width: int) -> Iterator[_Row]:
        if number not in self._unfolded:
            return
        style = self.look.style
        for index, evidence in enumerate(finding.evidence):
            self._stops.append((number, index))
            raw = f"= {evidence.raw:#0{2 + 2 * min(8, max(1, evidence.where.size))}x}"
            shown = f" {evidence.shown}" if evidence.shown else ""
            line = [
                (f"     {evidence.where.start:<12} ", style("key")),
                (f"{evidence.path}  ", style("text")),
                (self.look.glyphs.text(raw + shown), style("dim")),
            ]
            yield _Row(line, len(self._stops) - 1)
        if finding.more:
            yield _Row([(f"     and {finding.more:,} more"[:width], style("dim"))], len(self._stops) - 1)

    def paint(self, row: int, width: int) -> Line:
        """One row."""
        rows = self.rows_for(width)
        if rows[row].stop != self.cursor:
            return rows[row].line
        ground = self.row_ground(row)
        return [(text, self.look.on(style, ground)) for text, style in rows[row].line]

    def _is_first(self, row: int) -> bool:
        rows = self.rows_for(self.width)
        return row == 0 or rows[row - 1].stop != rows[row].stop

    def row_ground(self, row: int) -> Ground:
        """All rows of the place under the cursor stand out; its first row most."""
        if self.rows_for(self.width)[row].stop != self.cursor:
            return Ground.PLAIN
        return Ground.ROW if self.has_focus and self._is_first(row) else Ground.SELECTED

    # -- moving: the cursor counts places, not rows ------------------------------------------------------------

    @property
    def rows_of_cursor(self) -> range:
        """The rows of the place under the cursor."""
        rows = [index for index, row in enumerate(self.rows_for(self.width)) if row.stop == self.cursor]
        return range(rows[0], rows[-1] + 1) if rows else range(0)

    def move_to(self, row: int) -> None:
        """Go to another place; past the ends the page scrolls."""
        wanted = max(0, min(row, len(self._stops) - 1))
        if wanted == self.cursor:
            self.post_message(EdgeReached(1 if row > wanted else -1))
            return
        self.cursor = wanted
        rows = self.rows_of_cursor
        if rows:
            self.show_row(rows[-1])
            self.show_row(rows[0])
        self.refresh()
        self.post_message(EdgeReached(0))

    def action_page_up(self) -> None:
        """The page scrolls."""
        self.post_message(EdgeReached(-10))

    def action_page_down(self) -> None:
        """The page scrolls."""
        self.post_message(EdgeReached(10))

    def action_end(self) -> None:
        """To the last finding."""
        self.move_to(len(self._stops) - 1)

    def action_unfold(self) -> None:
        """Show all evidence of the finding under the cursor."""
        number = self._stops[self.cursor][0]
        if number >= 0 and len(self._findings[number].evidence) > 1:
            self._unfolded ^= {number}
            self._changed()

    def action_fold(self) -> None:
        """Hide the evidence of the finding under the cursor."""
        number = self._stops[self.cursor][0]
        if number in self._unfolded:
            self._unfolded.discard(number)
            self.cursor = self._stops.index((number, None))
            self._changed()

    def action_choose(self) -> None:
        """Go to the bytes."""
        number, index = self._stops[self.cursor]
        if number < 0 or not self._findings[number].evidence:
            self.post_message(JumpAsked(Location()))
            return
        finding = self._findings[number]
        self.post_message(JumpAsked(place_of(finding, finding.evidence[index or 0])))

    def clicked(self, row: int, x: int, *, double: bool) -> None:
        """A click chooses a place; a double click goes there."""
        del x
        stop = self.rows_for(self.width)[row].stop
        if stop == _NOWHERE:
            return
        self.move_to(stop)
        if double:
            self.action_choose()

    def on_resize(self) -> None:
        """Compose for the new width."""
        self._rows = None
        self.scroll_top(self.top)
