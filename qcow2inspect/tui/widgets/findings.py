"""The findings, heaviest first; each leads to the bytes that prove it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.messages import EdgeReached, JumpAsked
from qcow2inspect.tui.nearby import place_of
from qcow2inspect.tui.theme import Ground
from qcow2inspect.tui.widgets.paint import columns, wrapped
from qcow2inspect.tui.widgets.vscroll import VScroll

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from textual.geometry import Size

    from qcow2inspect.findings import Finding
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["FindingsList", "Row", "Stop"]

_TALLEST = 400


@dataclass(frozen=True, slots=True)
class Stop:
    """A place that the cursor can stand on.

    Attributes:
        findings: which findings: one, those of a group, or none if there are none.
        evidence: which of its evidence; None for the finding itself.
    """

    findings: tuple[int, ...] = ()
    evidence: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One painted row.

    Attributes:
        line: what it shows.
        stop: number of the place the cursor can stand on; all rows of one place share it.
    """

    line: Line
    stop: int


class FindingsList(VScroll):
    """A list that walks from finding to finding, and into the evidence of each.

    Args:
        look: colours and glyphs.
        id: Textual id.
    """

    BINDINGS = bindings("findings")

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self._filtered = False
        self._findings: Sequence[Finding] = ()
        self._complete = False
        self._unfolded: set[tuple[int, ...]] = set()
        self._stops: list[Stop] = []
        self._rows: list[Row] | None = None
        self._rows_width = 0

    def show(self, findings: Sequence[Finding], *, complete: bool, filtered: bool = False) -> None:
        """Show findings.

        Args:
            findings: heaviest first.
            complete: False while the image is still being looked at.
            filtered: True if these are not all.
        """
        if list(findings) != list(self._findings):
            self._unfolded.clear()
        self._findings, self._complete, self._filtered = findings, complete, filtered
        self._changed()

    @property
    def finding(self) -> Finding | None:
        """The finding under the cursor; None if there is none, or several."""
        return self.chosen[0] if len(self.chosen) == 1 else None

    @property
    def chosen(self) -> tuple[Finding, ...]:
        """The finding under the cursor, or those of the group there."""
        stop = self.stop
        return tuple(self._findings[number] for number in stop.findings) if stop is not None else ()

    @property
    def stop(self) -> Stop | None:
        """The place under the cursor."""
        self.rows_for(self.width)
        return self._stops[self.cursor] if self._stops else None

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

    def rows_for(self, width: int) -> list[Row]:
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

    def _make_rows(self, width: int) -> Iterator[Row]:
        if not self._findings:
            role, text = ("good", "nothing to report") if self._complete else ("dim", "looking at the tables")
            sign = self.look.glyphs["yes" if self._complete else "more"]
            if self._filtered:
                role, text, sign = "dim", "no finding has these words", self.look.glyphs["dot"]
            yield Row([(f" {sign} {text}", self.look.style(role))], self._add(Stop()))
        yield from self._list_rows(width)

    def _add(self, stop: Stop) -> int:
        """One more place for the cursor, and its number."""
        self._stops.append(stop)
        return len(self._stops) - 1

    def _list_rows(self, width: int) -> Iterator[Row]:
        for number, finding in enumerate(self._findings):
            stop = self._add(Stop((number,)))
            yield Row(self._head(number, finding, width), stop)
            for part in wrapped(self.look.glyphs.text(finding.message), width - 5):
                yield Row([(f"   {part}", self.look.style("text"))], stop)
            yield from self._evidence(number, finding, width)

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
        fold = f"{glyphs['open' if (number,) in self._unfolded else 'closed']} {places} places" if places > 1 else ""
        where = fold or f"{first.where.start} {glyphs.text(first.path)}"
        return columns(left, [(f"{where} ", style("dim"))], width, style("text"))

    def _evidence(self, number: int, finding: Finding, width: int) -> Iterator[Row]:
        if (number,) not in self._unfolded:
            return
        style = self.look.style
        for index, evidence in enumerate(finding.evidence):
            stop = self._add(Stop((number,), index))
            raw = f"= {evidence.raw:#0{2 + 2 * min(8, max(1, evidence.where.size))}x}"
            shown = f" {evidence.shown}" if evidence.shown else ""
            line = [
                (f"     {evidence.where.start:<12} ", style("key")),
                (f"{evidence.path}  ", style("text")),
                (self.look.glyphs.text(raw + shown), style("dim")),
            ]
            yield Row(line, stop)
        if finding.more:
            yield Row([(f"     and {finding.more:,} more"[:width], style("dim"))], len(self._stops) - 1)

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
        """Show the findings of the group under the cursor, or all evidence of the finding there."""
        stop = self._stops[self.cursor]
        if len(stop.findings) > 1 or (stop.findings and len(self._findings[stop.findings[0]].evidence) > 1):
            self._unfolded ^= {stop.findings}
            self._changed()

    def action_fold(self) -> None:
        """Hide what the finding or the group under the cursor holds, or what the cursor is in."""
        stop = replace(self._stops[self.cursor], evidence=None)
        parent = stop if stop.findings in self._unfolded else self._fold_parent(stop.findings)
        if parent is not None:
            self._unfolded.discard(parent.findings)
            self.cursor = self._stops.index(parent)
            self._changed()

    def _fold_parent(self, numbers: tuple[int, ...]) -> Stop | None:
        """The open group that a finding belongs to; None if there are no groups."""
        del numbers
        return None

    def action_choose(self) -> None:
        """Go to the bytes."""
        stop = self._stops[self.cursor]
        proved = [number for number in stop.findings if self._findings[number].evidence]
        if not proved:
            self.post_message(JumpAsked(Location()))
            return
        finding = self._findings[proved[0]]
        self.post_message(JumpAsked(place_of(finding, finding.evidence[stop.evidence or 0])))

    def clicked(self, row: int, x: int, *, double: bool) -> None:
        """A click chooses a place; a double click goes there."""
        del x
        self.move_to(self.rows_for(self.width)[row].stop)
        if double:
            self.action_choose()

    def on_resize(self) -> None:
        """Compose for the new width."""
        self._rows = None
        self.scroll_top(self.top)
