"""The guest bytes of one of two disks; those that differ from the other's stand out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.tui.theme import Ground
from qcow2inspect.tui.widgets.guestpane import GuestPane, word_of
from qcow2inspect.tui.widgets.paint import line_width

if TYPE_CHECKING:
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["ComparePane", "pair_up"]


class ComparePane(GuestPane):
    """Bytes of one disk beside, or above, those of another; both show the same place.

    Attributes:
        other: the pane beside.
        total: bytes of the larger disk; past its own end a pane is blank.

    Args:
        look: colours and glyphs.
        id: Textual id.
    """

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self.other: ComparePane | None = None
        self.total = 0
        self._unlike: frozenset[int] = frozenset()

    @property
    def byte_count(self) -> int:
        """Bytes of the larger disk: rows of both panes mean the same bytes."""
        return self.total

    def known(self, start: int, size: int) -> dict[int, int]:
        """Offset of each byte of ``[start, start + size)`` that can be seen -> the byte; zeros past the end."""
        chunk = self.reader.chunk(start) if self.view is not None else None
        if chunk is None or self.view is None:
            return {}
        found: dict[int, int] = {}
        for piece in chunk.pieces:
            if not word_of(piece):
                inside = range(max(start, piece.guest.start), min(start + size, piece.guest.end))
                found.update((at, chunk.data[at - chunk.start]) for at in inside)
        return found | dict.fromkeys(range(max(start, self.view.size), start + size), 0)

    def unlike(self, row: int) -> frozenset[int]:
        """The bytes of a row that differ from those of the other pane, as far as both can be seen."""
        if self.other is None:
            return frozenset()
        start = row * self.per_row
        mine, theirs = self.known(start, self.per_row), self.other.known(start, self.per_row)
        return frozenset(at for at, byte in mine.items() if theirs.get(at, byte) != byte)

    # -- painting ---------------------------------------------------------------------------------------------

    def paint(self, row: int, width: int) -> Line:
        """A row; a sign after the offset says that something in it differs."""
        self._unlike = self.unlike(row)
        line = super().paint(row, width)
        if not self._unlike or line_width(line) <= self.digits:
            return line
        (text, style), rest = line[0], line[1:]
        sign = (self.look.glyphs["unlike"], self.look.style("bad"))
        return [(text[: self.digits], style), sign, (text[self.digits + 1 :], style), *rest]

    def under(self, offset: int) -> Ground:
        """Bytes that differ have a ground of their own."""
        return Ground.MARKED if offset in self._unlike else super().under(offset)

    # -- moving -----------------------------------------------------------------------------------------------

    def scroll_top(self, top: int) -> None:
        """Scroll, and the other pane with it."""
        super().scroll_top(top)
        if self.other is not None and self.other.top != self.top:
            self.other.top = self.top
            self.other.refresh()


def pair_up(left: ComparePane, right: ComparePane) -> None:
    """Let two panes know each other."""
    left.other, right.other = right, left
