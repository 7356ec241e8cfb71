"""Bytes in rows with a cursor on one of them: what the host view and the guest view have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.messages import FollowAsked, StripChosen
from qcow2inspect.tui.theme import Ground
from qcow2inspect.tui.widgets.vscroll import VScroll

if TYPE_CHECKING:
    from rich.style import Style

    from qcow2inspect.tui.strip import Strip
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.mapstrip import Cell
    from qcow2inspect.tui.widgets.paint import Line
    from qcow2inspect.units import GuestRange, HostRange

__all__ = ["HEX", "BytesPane", "merged"]

HEX = tuple(f"{byte:02x}" for byte in range(256))
_NEAR_ROWS = 24
_NOTHING = range(0)
_STRIP_FROM = 80
"""Cells of a screen from which on there is a strip; narrower ones have a marker only."""


def merged(line: Line) -> Line:
    """Neighbours of one style as one piece: fewer pieces, fewer bytes to the terminal."""
    joined: Line = []
    for text, style in line:
        if joined and joined[-1][1] is style:
            joined[-1] = (joined[-1][0] + text, style)
        else:
            joined.append((text, style))
    return joined


class BytesPane(VScroll):
    """Rows of bytes with a cursor on one byte; subclasses paint them and say where they come from.

    Attributes:
        at: offset of the byte under the cursor.
        began: where the user began to select; None if they do not.
        per_row: bytes in a row: 16, 8 or 4, whatever the width allows.

    Args:
        look: colours and glyphs.
        id: Textual id.
    """

    BINDINGS = bindings("hex")
    GUTTER = 0
    """Cells between offset and bytes, beyond the one blank."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self.at = 0
        self.per_row = 16
        self.selected = _NOTHING
        self.marked = _NOTHING
        self.began: int | None = None
        self._jumped = False
        self._strip: Strip | None = None
        self._cells_of_strip: list[Cell] = []

    # -- what subclasses say ----------------------------------------------------------------------------------

    @property
    def byte_count(self) -> int:
        """Bytes that can be looked at."""
        return 0

    def chose(self, offset: int) -> None:
        """The user moved the cursor to ``offset``."""

    # -- geometry ---------------------------------------------------------------------------------------------

    @property
    def digits(self) -> int:
        """Digits of an offset: as many as the last one needs, at least 8."""
        return max(8, len(f"{max(0, self.byte_count - 1):x}"))

    @property
    def row_count(self) -> int:
        """Rows of the whole view."""
        return max(1, -(-self.byte_count // self.per_row))

    def _fit(self) -> None:
        """Choose 16, 8 or 4 bytes a row, whatever the width allows."""
        fitting = (count for count in (16, 8, 4) if self._cells(count) <= self.width)
        self.per_row = next(fitting, 4)

    def _cells(self, count: int) -> int:
        groups = max(1, count // 8)
        return self.digits + 1 + self.GUTTER + count * 3 + (groups - 1) + count

    def under(self, offset: int) -> Ground:
        """What lies behind a byte when the cursor is elsewhere."""
        if self.began is not None:
            return Ground.MARKED if offset in self.chosen else Ground.PLAIN
        if self.marked.start <= offset < self.marked.stop:
            return Ground.MARKED
        if self.selected.start <= offset < self.selected.stop:
            return Ground.SELECTED
        return Ground.PLAIN

    @property
    def chosen(self) -> range:
        """The bytes that the user selects; none if they do not."""
        if self.began is None:
            return _NOTHING
        return range(min(self.began, self.at), max(self.began, self.at) + 1)

    def select_from(self, anchor: int | None) -> None:
        """Begin to select at a byte; None ends it."""
        self.began = anchor
        self.refresh()

    def row_ground(self, row: int) -> Ground:
        """Rows have no ground of their own: bytes have."""
        del row
        return Ground.PLAIN

    # -- moving -----------------------------------------------------------------------------------------------

    def show(
        self,
        offset: int,
        *,
        selected: HostRange | GuestRange | None = None,
        marked: HostRange | GuestRange | None = None,
    ) -> None:
        """Put the cursor on ``offset`` without telling anybody.

        Args:
            offset: offset of a byte.
            selected: range of what is under the cursor.
            marked: range that a finding or a search names; None leaves it as it is.
        """
        old = (self.selected, self.marked)
        self.selected = range(selected.start, selected.end) if selected else _NOTHING
        self.marked = self.marked if marked is None else range(marked.start, marked.end)
        self._put(offset)
        for before, now in zip(old, (self.selected, self.marked), strict=True):
            for part in (before, now) if before != now else ():
                if part:
                    self.refresh_rows(part.start // self.per_row, (part.stop - 1) // self.per_row)

    def _put(self, offset: int) -> None:
        """The cursor, and the page around it after a far jump."""
        before = self.at
        self.at = max(0, min(offset, self.byte_count - 1))
        self.cursor = self.at // self.per_row
        far = abs(before - offset) > self.per_row * _NEAR_ROWS
        if far and not self.top <= self.cursor < self.top + self.height:
            self.scroll_top(self.cursor - self.height // 8)
            self._jumped = True
        elif before != self.at:
            self._jumped = False
        self.show_row(self.cursor)
        for place in (before, self.at):
            self.refresh_rows(place // self.per_row, place // self.per_row)
        if self.began is not None:
            self.refresh_rows(min(before, self.at) // self.per_row, max(before, self.at) // self.per_row)

    def move_to(self, row: int) -> None:
        """The user goes to another row, in the same column."""
        row = max(0, min(row, self.row_count - 1))
        self.go(row * self.per_row + self.at % self.per_row)

    def go(self, offset: int) -> None:
        """The user goes to another byte."""
        offset = max(0, min(offset, self.byte_count - 1))
        if offset != self.at and offset >= 0:
            self._put(offset)
            self.chose(offset)

    # -- the strip --------------------------------------------------------------------------------------------

    def show_strip(self, strip: Strip | None) -> None:
        """Show the whole file or disk in place of the position marker; the marker again for None."""
        self._strip, self._cells_of_strip = strip, []
        self.refresh()

    @property
    def strip(self) -> Strip | None:
        """What the strip shows; None while there is none, or no room for it."""
        return self._strip if self.is_attached and self.screen.size.width >= _STRIP_FROM else None

    def _marker(self, y: int) -> tuple[str, Style]:
        """One line of the strip; a key only moves what is marked of it."""
        strip = self.strip
        if strip is None:
            return super()._marker(y)
        if len(self._cells_of_strip) != self.height:
            from qcow2inspect.tui.widgets.mapstrip import cells_of

            self._cells_of_strip = cells_of(strip, self.height, self.look)
        return self._cells_of_strip[y][y in self._in_sight]

    @property
    def _in_sight(self) -> range:
        """The lines of the strip whose bytes are in sight."""
        first, size = self.top * self.per_row, max(1, self.byte_count)
        last = min(size, first + self.height * self.per_row) - 1
        return range(first * self.height // size, last * self.height // size + 1)

    def marker_clicked(self, y: int) -> None:
        """A click on the strip goes to the worst that lies there."""
        strip = self.strip
        if strip is None:
            super().marker_clicked(y)
        else:
            self.post_message(StripChosen(strip.place(y, self.height), strip.word(y, self.height)))

    def action_strip(self, step: int) -> None:
        """To the worst of the next (1) or previous (-1) line of the strip; without one, as far as a line of it."""
        size, lines = max(1, self.byte_count), max(1, self.height)
        line = self.at * lines // size + step
        if 0 <= line < lines:
            self.go(self._strip.place(line, lines) if self._strip is not None else -(-size * line // lines))

    def recolour(self) -> None:
        """Another theme, another strip."""
        self._cells_of_strip = []
        super().recolour()

    # -- actions ----------------------------------------------------------------------------------------------

    def action_left(self) -> None:
        """One byte back."""
        self.go(self.at - 1)

    def action_right(self) -> None:
        """One byte on."""
        self.go(self.at + 1)

    def action_row_start(self) -> None:
        """To the first byte of the row."""
        self.go(self.at - self.at % self.per_row)

    def action_row_end(self) -> None:
        """To the last byte of the row."""
        self.go(self.at - self.at % self.per_row + self.per_row - 1)

    def action_home(self) -> None:
        """To the first byte."""
        self.go(0)

    def action_end(self) -> None:
        """To the last byte."""
        self.go(self.byte_count - 1)

    # -- events -----------------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Choose the bytes a row anew and keep the cursor in sight."""
        before = self.per_row
        self._fit()
        if before != self.per_row:
            self.top = self.top * before // self.per_row
        self.cursor = self.at // self.per_row
        if self._jumped:
            self.scroll_top(self.cursor - self.height // 8)
        super().on_resize()

    def clicked(self, row: int, x: int, *, double: bool) -> None:
        """A click sets the cursor; a double click follows the pointer there."""
        index = self._byte_at(x)
        if index is None:
            return
        self.go(row * self.per_row + index)
        if double:
            self.post_message(FollowAsked())

    def _byte_at(self, x: int) -> int | None:
        """The byte of a row that is drawn in cell ``x``, in hexadecimal or as text."""
        for index in range(self.per_row):
            at = self.digits + 1 + self.GUTTER + index * 3 + index // 8
            if at <= x < at + 3:
                return index
        text = self._cells(self.per_row) - self.per_row
        return x - text if text <= x < text + self.per_row else None
