"""The bytes as the guest sees them; what is not there is not shown as if it were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.tui.messages import GuestChosen
from qcow2inspect.tui.reader import GuestReader
from qcow2inspect.tui.theme import Ground
from qcow2inspect.tui.widgets.bytespane import HEX, BytesPane, merged
from qcow2inspect.units import GuestOffset

if TYPE_CHECKING:
    from rich.style import Style

    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["CELLS", "GuestPane", "role_of", "word_of"]

CELLS = {"unreadable": "??", "absent": "--", "past the end": "~~", "reading": "::"}
"""What stands in place of a byte: why it is not shown, and two signs."""


def word_of(extent: Extent) -> str:
    """Why the bytes of an extent are not shown: a key of :data:`CELLS`; empty if they are."""
    if extent.error is not None:
        return "unreadable"
    if extent.absent:
        return "absent"
    return "past the end" if extent.past_end else ""


def role_of(extent: Extent) -> str:
    """Colour and glyph of the bytes of an extent."""
    if extent.error is not None:
        return "invalid"
    if extent.absent or extent.past_end:
        return "warning"
    return {"unallocated-alloc": "unallocated"}.get(extent.kind.word, extent.kind.word)


class GuestPane(BytesPane):
    """The bytes of one state of the disk with a cursor on one of them.

    Args:
        look: colours and glyphs.
        id: Textual id.
    """

    GUTTER = 3

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self.reader = GuestReader(self._came)
        self.view: View | None = None

    @property
    def byte_count(self) -> int:
        """Bytes of the disk."""
        return self.view.size if self.view is not None else 0

    @property
    def guest(self) -> GuestOffset:
        """Guest offset of the byte under the cursor."""
        return GuestOffset(self.at)

    def read_from(self, view: View | None) -> None:
        """Show other bytes; None for none."""
        self.view = view
        self.reader.show(view)
        self.refresh()

    def chose(self, offset: int) -> None:
        """Tell it."""
        self.tell(GuestChosen(GuestOffset(offset)))

    def _came(self) -> None:
        """Called in the reader's thread."""
        self.post_message(GuestChosen(None))

    # -- painting ---------------------------------------------------------------------------------------------

    def paint(self, row: int, width: int) -> Line:
        """Offset, where the first byte comes from, bytes, text."""
        del width
        start = row * self.per_row
        if start >= self.byte_count:
            return []
        here = start <= self.at < start + self.per_row
        line: Line = [(f"{start:0{self.digits}x} ", self.look.style("text" if here else "dim"))]
        cells = self._cells_of(start)
        line += self._origin(start)
        for index in range(self.per_row):
            word, _, style = cells[index] if index < len(cells) else ("  ", " ", self.look.style("text"))
            gap = "  " if index % 8 == 7 and index + 1 < self.per_row else " "
            line += [(word, style), (gap, self._gap(start, index, cells))]
        return merged([*line, *((text, style) for _, text, style in cells)])

    def _origin(self, start: int) -> Line:
        """The kind of the first byte of the row, and the number of the layer that supplies it if it is not 0."""
        extent = self.reader.extent(start)
        if extent is None:
            return [("   ", self.look.style("text"))]
        role = role_of(extent)
        layer = f"{min(extent.layer, 99):<2}" if extent.layer else "  "
        return [(self.look.glyphs[role], self.look.style(role)), (layer, self.look.style("note"))]

    def _cells_of(self, start: int) -> list[tuple[str, str, Style]]:
        """Two hexadecimal digits, one character and a style for each byte of a row."""
        chunk = self.reader.chunk(start)
        size = min(self.per_row, self.byte_count - start)
        if chunk is None:
            return [(CELLS["reading"], " ", self._style("dim", start + i, None)) for i in range(size)]
        cells: list[tuple[str, str, Style]] = []
        for piece in chunk.pieces:
            inside = range(max(start, piece.guest.start), min(start + size, piece.guest.end))
            cells.extend(self._cell(at, chunk.data[at - chunk.start], piece) for at in inside)
        return cells

    def _cell(self, at: int, byte: int, piece: Extent) -> tuple[str, str, Style]:
        word = word_of(piece)
        if word:
            signs = CELLS[word]
            return signs, signs[0], self._style("bad" if piece.error else "warn", at, None)
        text = chr(byte) if 32 <= byte < 127 else self.look.glyphs["nonprint"]
        return HEX[byte], text, self._style(role_of(piece), at, 0 if byte else 2)

    def _style(self, role: str, at: int, shade: int | None) -> Style:
        return self.look.style(role, Ground.CURSOR if at == self.at else self.under(at), shade)

    def _gap(self, start: int, index: int, cells: list[tuple[str, str, Style]]) -> Style:
        """What lies between two bytes belongs to a range if both do."""
        if index + 1 >= len(cells):
            return self.look.style("text")
        left, right = cells[index][2], cells[index + 1][2]
        if left is right:
            return left
        grounds = {self.under(start + index), self.under(start + index + 1)}
        return self.look.style("text", grounds.pop() if len(grounds) == 1 else Ground.PLAIN)
