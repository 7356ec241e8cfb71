"""The bytes of a view: offset, hexadecimal, text; fields in the colour of what they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui.messages import ByteChosen
from qcow2inspect.tui.theme import Ground
from qcow2inspect.tui.widgets.bytespane import HEX, BytesPane, merged
from qcow2inspect.units import HostOffset

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


class HexPane(BytesPane):
    """The bytes of the image file with a cursor on one of them.

    Args:
        view: the bytes.
        locate: names the node of a byte; None if it is not known yet.
        look: colours and glyphs.
        id: Textual id.
    """

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
        self._page_read: tuple[int, int, bytes] = (-1, 0, b"")
        self.trouble = ""

    @property
    def byte_count(self) -> int:
        """Bytes of the view."""
        return self.view.size

    @property
    def host(self) -> HostOffset:
        """Host offset of the byte under the cursor."""
        return HostOffset(self.at)

    def chose(self, offset: int) -> None:
        """Tell it."""
        self.tell(ByteChosen(HostOffset(offset)))

    # -- painting ---------------------------------------------------------------------------------------------

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
        return merged(line)

    def _hex(self, start: int, data: bytes, styles: list[Style]) -> Line:
        missing = ("??", self.look.style("bad")) if self.trouble and not data else ("  ", self.look.style("text"))
        line: Line = []
        for index in range(self.per_row):
            line.append((HEX[data[index]], styles[index]) if index < len(data) else missing)
            gap = "  " if index % 8 == 7 and index + 1 < self.per_row else " "
            line.append((gap, self._gap_style(start, index, styles)))
        return line

    def _gap_style(self, start: int, index: int, styles: list[Style]) -> Style:
        """What lies between two bytes belongs to a field or a range if both bytes do."""
        if index + 1 >= len(styles):
            return self.look.style("text")
        if styles[index] is styles[index + 1]:
            return styles[index]
        left, right = self.under(start + index), self.under(start + index + 1)
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
            ground = Ground.CURSOR if at == self.at else self.under(at)
            styles.append(self.look.style(run.role, ground, run.shade if byte else run.shade + 2))
            at += 1
        return styles

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

    def next_field(self) -> None:
        """To the byte after the selected range."""
        self.go(self.selected.stop if self.selected else self.at + 1)

    def previous_field(self) -> None:
        """To the start of the selected range, or of the one before."""
        start = self.selected.start if self.selected else self.at
        self.go(self.fields.start_before(start) if self.at == start else start)

    def on_resize(self) -> None:
        """Other rows, another page."""
        self._page_read = (-1, 0, b"")
        super().on_resize()
