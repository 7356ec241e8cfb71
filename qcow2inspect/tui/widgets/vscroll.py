"""A scroller over any number of rows, painted line by line.

Positions are integers from end to end: a float loses rows from 2^53 on. Only the rows in sight are ever made, so
a million rows and 2^63 rows cost the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.theme import Ground
from qcow2inspect.tui.widgets.paint import strip

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.style import Style
    from textual import events
    from textual.message import Message

    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["VScroll", "thumb"]

_WHEEL = 3


def thumb(rows: int, top: int, height: int) -> range:
    """The screen rows that the position marker covers.

    Args:
        rows: rows in all.
        top: first row in sight.
        height: rows that fit.
    """
    if rows <= height or height <= 0:
        return range(0)
    size = max(1, height * height // rows)
    start = top * (height - size) // (rows - height)
    return range(start, start + size)


class VScroll(Widget, can_focus=True):
    """Base of the panes that scroll: a cursor row, a first row in sight, and a thin position marker.

    Subclasses say how many rows there are (:attr:`row_count`) and what one looks like (:meth:`paint`).

    Attributes:
        look: colours and glyphs.
        top: first row in sight.
        cursor: row that keys act on.

    Args:
        look: colours and glyphs.
        id: Textual id.
        classes: Textual classes.
    """

    ALLOW_SELECT = False
    BINDINGS = bindings("list")
    SHOWS_CURSOR = True
    """False for a pane that is read, not walked: keys scroll it."""

    def __init__(self, look: Look, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.look = look
        self.top = 0
        self.cursor = 0

    # -- what subclasses say ----------------------------------------------------------------------------------

    @property
    def row_count(self) -> int:
        """Rows in all."""
        return 0

    def paint(self, row: int, width: int) -> Line:
        """One row, which is cut or filled to ``width`` cells."""
        del row, width
        return []

    def row_ground(self, row: int) -> Ground:
        """What lies behind a row."""
        if not self.SHOWS_CURSOR or row != self.cursor:
            return Ground.PLAIN
        return Ground.ROW if self.has_focus else Ground.SELECTED

    def cursor_moved(self) -> None:
        """The user moved the cursor to another row."""

    # -- properties -------------------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """Rows in sight."""
        return self.content_size.height

    @property
    def width(self) -> int:
        """Cells of a row, without the marker."""
        return max(0, self.content_size.width - 1)

    @property
    def last_top(self) -> int:
        """The largest first row that leaves no empty space below."""
        return max(0, self.row_count - max(1, self.height))

    # -- painting ---------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """One line of the content region, exactly as wide as that."""
        row, width = self.top + y, self.width
        plain = self.look.style("text")
        if 0 <= row < self.row_count and width > 0:
            ground = self.row_ground(row)
            line = strip(self.paint(row, width), width, self.look.style("text", ground))
        else:
            line = Strip.blank(width, plain)
        return Strip.join([line, strip([self._marker(y)], self.content_size.width - width, plain)])

    def _marker(self, y: int) -> tuple[str, Style]:
        covered = thumb(self.row_count, self.top, self.height)
        name = "thumb" if y in covered else "track" if covered else ""
        return (self.look.glyphs[name] if name else " ", self.look.style("dim" if name == "thumb" else "faint"))

    def recolour(self) -> None:
        """Another theme: what was composed is composed again."""
        self.refresh()

    def refresh_rows(self, first: int, last: int) -> None:
        """Paint rows ``first`` to ``last`` (both included) again, as far as they are in sight."""
        low, high = max(0, first - self.top), min(self.height, last - self.top + 1)
        if high > low:
            self.refresh(Region(0, low, self.content_size.width, high - low))

    # -- moving -----------------------------------------------------------------------------------------------

    def scroll_top(self, top: int) -> None:
        """Make ``top`` the first row in sight, as far as there are rows."""
        top = max(0, min(top, self.last_top))
        if top != self.top:
            self.top = top
            self.refresh()

    def show_row(self, row: int, *, margin: int = 0) -> None:
        """Scroll just as far as needed to see ``row`` with ``margin`` rows around it."""
        if self.height <= 0:
            return
        margin = min(margin, max(0, (self.height - 1) // 2))
        if row < self.top + margin:
            self.scroll_top(row - margin)
        elif row >= self.top + self.height - margin:
            self.scroll_top(row - self.height + 1 + margin)

    def set_cursor(self, row: int) -> bool:
        """Put the cursor on ``row`` without telling anybody; True if it moved."""
        row = max(0, min(row, self.row_count - 1))
        moved, old = row != self.cursor, self.cursor
        self.cursor = row
        self.show_row(row)
        if moved:
            self.refresh_rows(old, old)
            self.refresh_rows(row, row)
        return moved

    def tell(self, message: Message) -> None:
        """Tell the screen at once, past its queue: what one key changes in all panes is then painted in one go."""
        hear: Callable[[Message], None] | None = getattr(self.screen, message.handler_name, None)
        if hear is None:
            self.post_message(message)
        else:
            hear(message)

    def move_to(self, row: int) -> None:
        """The user goes to ``row``; a pane without cursor scrolls there."""
        if not self.SHOWS_CURSOR:
            self.scroll_top(row)
        elif self.set_cursor(row):
            self.cursor_moved()

    @property
    def _at(self) -> int:
        return self.cursor if self.SHOWS_CURSOR else self.top

    # -- actions ----------------------------------------------------------------------------------------------

    def action_up(self) -> None:
        """One row up."""
        self.move_to(self._at - 1)

    def action_down(self) -> None:
        """One row down."""
        self.move_to(self._at + 1)

    def action_page_up(self) -> None:
        """One page up."""
        self._turn(-1)

    def action_page_down(self) -> None:
        """One page down."""
        self._turn(1)

    def _turn(self, direction: int) -> None:
        step = direction * max(1, self.height - 1)
        offset = self._at - self.top
        self.scroll_top(self.top + step)
        if self.SHOWS_CURSOR:
            at_edge = self.top in (0, self.last_top) and abs(self._at + step - self.top - offset) > 0
            self.move_to(self._at + step if at_edge else self.top + offset)

    def action_home(self) -> None:
        """To the first row."""
        self.move_to(0)

    def action_end(self) -> None:
        """To the last row."""
        self.move_to(self.row_count - 1 if self.SHOWS_CURSOR else self.last_top)

    # -- events -----------------------------------------------------------------------------------------------

    def on_focus(self) -> None:
        """The cursor row looks different with focus."""
        self.refresh_rows(self.cursor, self.cursor)

    def on_blur(self) -> None:
        """The cursor row looks different without focus."""
        self.refresh_rows(self.cursor, self.cursor)

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self.scroll_top(self.top)
        if self.SHOWS_CURSOR:
            self.show_row(self.cursor, margin=2)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll; the cursor stays where it is."""
        event.stop()
        self.scroll_top(self.top + _WHEEL)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll; the cursor stays where it is."""
        event.stop()
        self.scroll_top(self.top - _WHEEL)

    def on_click(self, event: events.Click) -> None:
        """A click on the marker goes there; elsewhere it chooses the row."""
        spot = event.get_content_offset(self)
        if spot is None:
            return
        event.stop()
        if spot.x >= self.width:
            self.marker_clicked(spot.y)
        elif self.top + spot.y < self.row_count:
            self.clicked(self.top + spot.y, spot.x, double=event.chain > 1)

    def marker_clicked(self, y: int) -> None:
        """A click on line ``y`` of the marker: what lies there comes into sight."""
        self.scroll_top(self.last_top * y // max(1, self.height - 1))

    def clicked(self, row: int, x: int, *, double: bool) -> None:
        """A click on cell ``x`` of ``row``."""
        del x, double
        self.move_to(row)
