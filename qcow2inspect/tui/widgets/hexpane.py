"""The bytes of a view: offset, hexadecimal, text; fields in the colour of what they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.messages import ByteChosen, FollowAsked
from qcow2inspect.tui.theme import Ground
from qcow2inspect.tui.widgets.vscroll import VScroll
from qcow2inspect.units import HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.style import Style

    from qcow2inspect.image.view import View
    from qcow2inspect.layout.node import Node
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["Fields", "HexPane"]

_CHUNK = 512
_KEPT_CHUNKS = 256
_NEAR_ROWS = 24
_HEX = tuple(f"{byte:02x}" for byte in range(256))
_NOTHING = HostRange.at(0, 0)


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring bytes of one field.

    Attributes:
        end: host offset after the last byte.
        role: colour.
        shade: 0 or 1, so that neighbours differ.
    """

    end: int
    role: str
    shade: int


class Fields:
    """Which bytes belong to which field, in chunks of 512 bytes that are worked out once.

    Args:
        locate: names the node of a byte; None if it is not known yet.
    """

    def __init__(self, locate: Callable[[HostOffset], Node | None]) -> None:
        self._locate = locate
        self._chunks: dict[int, list[_Run]] = {}

    def forget(self) -> None:
        """More is known now: ask again."""
        self._chunks.clear()

    def start_before(self, offset: int) -> int:
        """Where the field begins that ends before ``offset``."""
        node = self._locate(HostOffset(max(0, offset - 1)))
        if node is None or not node.where.start < offset <= node.where.end:
            return max(0, offset - 1)
        return int(node.where.start)

    def at(self, offset: int) -> list[_Run]:
        """The runs of the chunk that holds ``offset``, in order."""
        start = offset - offset % _CHUNK
        runs = self._chunks.get(start)
        if runs is None:
            if len(self._chunks) >= _KEPT_CHUNKS:
                self._chunks.pop(next(iter(self._chunks)))
            runs = self._chunks[start] = self._work_out(start, start + _CHUNK)
        return runs

    def _work_out(self, start: int, end: int) -> list[_Run]:
        runs: list[_Run] = []
        at, shade = start, 0
        while at < end:
            node = self._locate(HostOffset(at))
            if node is None or at not in range(node.where.start, node.where.end):
                runs.append(_Run(end, "text", 0))
                break
            if node.path.startswith("ref["):
                return [*runs, *_counts(node, at, end)]
            index = _index(node)
            shade = 1 - shade if index is None else index % 2
            if node.kind in ("data", "free", "compressed"):
                shade = 0
            at = min(end, int(node.where.end))
            runs.append(_Run(at, _role(node), shade))
        return runs


def _counts(first: Node, start: int, end: int) -> list[_Run]:
    """Refcounts are many and alike: the rest of the chunk follows from the first one."""
    size = max(1, first.where.size)
    number = first.where.start // size
    return [_Run(min(end, at + size), "refcount", (number + i) % 2) for i, at in enumerate(range(start, end, size))]


def _index(node: Node) -> int | None:
    """The number in brackets at the end of an address; None if there is none."""
    head, bracket, tail = node.path.rpartition("[")
    return int(tail[:-1]) if head and bracket and tail[:-1].isdecimal() else None


def _role(node: Node) -> str:
    if node.state in ("", "normal") or node.kind == "data":
        return node.kind
    return node.state


def _merged(line: Line) -> Line:
    """Neighbours of one style as one piece: fewer pieces, fewer bytes to the terminal."""
    merged: Line = []
    for text, style in line:
        if merged and merged[-1][1] is style:
            merged[-1] = (merged[-1][0] + text, style)
        else:
            merged.append((text, style))
    return merged


class HexPane(VScroll):
    """A hex pane with a cursor on one byte.

    Attributes:
        at: host offset of the byte under the cursor.

    Args:
        view: the bytes.
        locate: names the node of a byte; None if it is not known yet.
        look: colours and glyphs.
        id: Textual id.
    """

    BINDINGS = bindings("hex")

    def __init__(
        self,
        view: View,
        locate: Callable[[HostOffset], Node | None],
        look: Look,
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(look, id=id)
        self.view = view
        self.fields = Fields(locate)
        self.at = HostOffset(0)
        self.per_row = 16
        self._selected = _NOTHING
        self._marked = _NOTHING
        self._page_read: tuple[int, int, bytes] = (-1, 0, b"")
        self._jumped = False
        self.trouble = ""

    # -- geometry ---------------------------------------------------------------------------------------------

    @property
    def digits(self) -> int:
        """Digits of an offset: as many as the last one needs, at least 8."""
        return max(8, len(f"{max(0, self.view.size - 1):x}"))

    @property
    def row_count(self) -> int:
        """Rows of the whole view."""
        return max(1, -(-self.view.size // self.per_row))

    def _fit(self) -> None:
        """Choose 16, 8 or 4 bytes a row, whatever the width allows."""
        fitting = (count for count in (16, 8, 4) if self._cells(count) <= self.width)
        self.per_row = next(fitting, 4)

    def _cells(self, count: int) -> int:
        groups = max(1, count // 8)
        return self.digits + 1 + count * 3 + (groups - 1) + count

    # -- painting ---------------------------------------------------------------------------------------------

    def row_ground(self, row: int) -> Ground:
        """Rows have no ground of their own: bytes have."""
        del row
        return Ground.PLAIN

    def paint(self, row: int, width: int) -> Line:
        """Offset, bytes, text."""
        del width
        start = row * self.per_row
        data = self._bytes(start)
        here = start <= self.at < start + self.per_row
        line: Line = [(f"{start:0{self.digits}x} ", self.look.style("text" if here else "dim"))]
        styles = self._styles(start, data)
        line += self._hex(start, data, styles)
        dot = self.look.glyphs["nonprint"]
        line += [(chr(byte) if 32 <= byte < 127 else dot, style) for byte, style in zip(data, styles, strict=True)]
        return _merged(line)

    def _hex(self, start: int, data: bytes, styles: list[Style]) -> Line:
        missing = ("??", self.look.style("bad")) if self.trouble and not data else ("  ", self.look.style("text"))
        line: Line = []
        for index in range(self.per_row):
            line.append((_HEX[data[index]], styles[index]) if index < len(data) else missing)
            gap = "  " if index % 8 == 7 and index + 1 < self.per_row else " "
            line.append((gap, self._gap_style(start, index, styles)))
        return line

    def _gap_style(self, start: int, index: int, styles: list[Style]) -> Style:
        """What lies between two bytes belongs to a field or a range if both bytes do."""
        if index + 1 >= len(styles):
            return self.look.style("text")
        if styles[index] is styles[index + 1]:
            return styles[index]
        left, right = self._under(start + index), self._under(start + index + 1)
        return self.look.style("text", left if left is right else Ground.PLAIN)

    def _styles(self, start: int, data: bytes) -> list[Style]:
        styles: list[Style] = []
        at, runs = start, iter(self.fields.at(start))
        run = next(runs)
        for byte in data:
            if at % _CHUNK == 0 and at != start:
                runs = iter(self.fields.at(at))
                run = next(runs)
            while at >= run.end:
                run = next(runs)
            ground = Ground.CURSOR if at == self.at else self._under(at)
            styles.append(self.look.style(run.role, ground, run.shade if byte else run.shade + 2))
            at += 1
        return styles

    def _under(self, offset: int) -> Ground:
        """What lies behind a byte when the cursor is elsewhere."""
        if self._marked.start <= offset < self._marked.end:
            return Ground.MARKED
        if self._selected.start <= offset < self._selected.end:
            return Ground.SELECTED
        return Ground.PLAIN

    def _bytes(self, start: int) -> bytes:
        """The bytes of the row that starts at ``start``; one read a page."""
        first, size, data = self._page_read
        if not (first <= start and start + self.per_row <= first + size):
            first, size = self.top * self.per_row, max(1, self.height) * self.per_row
            if not first <= start < first + size:
                first, size = start, self.per_row
            data = self._read(first, size)
            self._page_read = (first, size, data)
        return data[start - first : start - first + self.per_row]

    def _read(self, offset: int, size: int) -> bytes:
        try:
            data = self.view.read_at(offset, size)
        except Qcow2InspectError as error:
            self.trouble = error.what
            return b""
        self.trouble = ""
        return data

    def reload(self) -> None:
        """Read and name everything again: the source changed, or more is known."""
        self._page_read = (-1, 0, b"")
        self.fields.forget()
        self.refresh()

    # -- moving -----------------------------------------------------------------------------------------------

    def show(self, offset: int, *, selected: HostRange | None = None, marked: HostRange | None = None) -> None:
        """Put the cursor on ``offset`` without telling anybody.

        Args:
            offset: host offset.
            selected: range of the node under the cursor.
            marked: range that a finding names; None leaves it as it is.
        """
        old = (self.at, self._selected, self._marked)
        self.at = HostOffset(max(0, min(offset, self.view.size - 1)))
        self._selected = selected or _NOTHING
        self._marked = self._marked if marked is None else marked
        self.cursor = self.at // self.per_row
        far = abs(old[0] - offset) > self.per_row * _NEAR_ROWS
        if far and not self.top <= self.cursor < self.top + self.height:
            self.scroll_top(self.cursor - self.height // 8)
            self._jumped = True
        elif old[0] != self.at:
            self._jumped = False
        self.show_row(self.cursor)
        self._refresh_changes(*old)

    def _refresh_changes(self, offset: int, selected: HostRange, marked: HostRange) -> None:
        for old, new in ((selected, self._selected), (marked, self._marked)):
            if old != new:
                for part in (old, new):
                    if part:
                        self.refresh_rows(part.start // self.per_row, (part.end - 1) // self.per_row)
        for place in (offset, self.at):
            self.refresh_rows(place // self.per_row, place // self.per_row)

    def move_to(self, row: int) -> None:
        """The user goes to another row, in the same column."""
        row = max(0, min(row, self.row_count - 1))
        self._go(row * self.per_row + self.at % self.per_row)

    def _go(self, offset: int) -> None:
        offset = max(0, min(offset, self.view.size - 1))
        if offset != self.at and offset >= 0:
            self.post_message(ByteChosen(HostOffset(offset)))
            self.show(offset, selected=self._selected)

    # -- actions ----------------------------------------------------------------------------------------------

    def action_left(self) -> None:
        """One byte back."""
        self._go(self.at - 1)

    def action_right(self) -> None:
        """One byte on."""
        self._go(self.at + 1)

    def action_row_start(self) -> None:
        """To the first byte of the row."""
        self._go(self.at - self.at % self.per_row)

    def action_row_end(self) -> None:
        """To the last byte of the row."""
        self._go(self.at - self.at % self.per_row + self.per_row - 1)

    def action_home(self) -> None:
        """To the first byte."""
        self._go(0)

    def action_end(self) -> None:
        """To the last byte."""
        self._go(self.view.size - 1)

    def action_next_field(self) -> None:
        """To the byte after the selected range."""
        self._go(self._selected.end if self._selected else self.at + 1)

    def action_previous_field(self) -> None:
        """To the start of the selected range, or of the one before."""
        start = int(self._selected.start) if self._selected else int(self.at)
        before = self.fields.start_before(start) if self.at == start else start
        self._go(before)

    # -- events -----------------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Choose the bytes a row anew and keep the cursor in sight."""
        before = self.per_row
        self._fit()
        if before != self.per_row:
            self.top = self.top * before // self.per_row
        self.cursor = self.at // self.per_row
        self._page_read = (-1, 0, b"")
        if self._jumped:
            self.scroll_top(self.cursor - self.height // 8)
        super().on_resize()

    def clicked(self, row: int, x: int, *, double: bool) -> None:
        """A click sets the cursor; a double click follows the pointer there."""
        index = self._byte_at(x)
        if index is None:
            return
        self._go(row * self.per_row + index)
        if double:
            self.post_message(FollowAsked())

    def _byte_at(self, x: int) -> int | None:
        """The byte of a row that is drawn in cell ``x``, in hexadecimal or as text."""
        for index in range(self.per_row):
            at = self.digits + 1 + index * 3 + index // 8
            if at <= x < at + 3:
                return index
        text = self._cells(self.per_row) - self.per_row
        return x - text if text <= x < text + self.per_row else None
