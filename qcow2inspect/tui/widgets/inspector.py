"""The inspector: what the bytes under the cursor are, bit by bit, and what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.tui import describe
from qcow2inspect.tui.readings import readings
from qcow2inspect.tui.widgets.paint import columns, wrapped
from qcow2inspect.tui.widgets.textpane import TextPane

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qcow2inspect.layout.node import Node
    from qcow2inspect.survey.ownership import ByteOwner, Mapped
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line
    from qcow2inspect.units import HostOffset

__all__ = ["Inspector", "Translation"]

_LABEL = 8
_RAW_SHOWN = 16
_WIDE = 70
_READABLE = 1 << 50


class Inspector(TextPane):
    """All about the node under the cursor.

    Attributes:
        mapped: host bytes, and the L2 entries that lead to them.

    Args:
        session: the image.
        look: colours and glyphs.
        id: Textual id.
    """

    def __init__(self, session: Session, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self.session = session
        self._node: Node | None = None
        self._offset: HostOffset | None = None
        self._with_steps = True
        self.mapped: tuple[range, Sequence[Mapped]] = (range(0), ())

    def show(self, node: Node | None, offset: HostOffset, *, with_steps: bool) -> None:
        """Show a node.

        Args:
            node: the node under the cursor; None if it is not known yet.
            offset: host offset of the cursor.
            with_steps: False if the translation box shows the arithmetic.
        """
        self._node, self._offset, self._with_steps = node, offset, with_steps
        self.recompose_lines()

    def compose_lines(self, width: int) -> Iterator[Line]:
        """Title, bytes, facts, meaning, bits, arithmetic, readings."""
        node, offset = self._node, self._offset
        if offset is None:
            return
        if node is None:
            yield [(" reading the tables ", self.look.style("dim"))]
            yield from self._readings(offset, width)
            return
        yield self._title(node, width)
        yield from self._raw(node, width)
        for label, value, role in describe.facts(self.session, node):
            sign = self.look.glyphs["no"] if role == "bad" else self.look.glyphs[role].strip()
            yield from self.row(label, value, width, role, sign=sign)
        yield from self._owner(node, offset, width)
        if node.doc:
            yield from self.row("meaning", node.doc + ".", width, "text")
        yield from self._bits(node, width)
        if self._with_steps:
            yield from self._steps(node, offset, width)
        yield from self._readings(offset, width)
        if node.spec:
            yield from self.row("see", f"qcow2 specification, “{node.spec}”", width, "dim")

    def _owner(self, node: Node, offset: HostOffset, width: int) -> Iterator[Line]:
        owner = self.session.owner(offset, node)
        if owner is not None and not _is_plain(owner):
            role = "text" if owner.purpose.explained else "warn"
            yield from self.row("owner", owner.words, width, role)
        within, found = self.mapped
        for number, one in enumerate(found if offset in within and node.guest is None else ()):
            words = f"{one.guest.start}‥{one.guest.end - 1:#x}  by {one.path}"
            yield from self.row("" if number else "guest", words, width)

    def _title(self, node: Node, width: int) -> Line:
        style = self.look.style
        size = (f" {self.look.glyphs.text(describe.size_shown(node))} ", style("dim"))
        sign = self.look.glyphs[node.kind] if self.look.glyphs.has(node.kind) else ""
        name = [(f" {sign}", style(node.kind)), (f" {self.look.glyphs.text(describe.title(node))}", style("title"))]
        return columns(name, [size], width, style("text"))

    def _raw(self, node: Node, width: int) -> Iterator[Line]:
        size = min(node.where.size, _RAW_SHOWN)
        if node.kind in ("file", "free") or node.where.size > 64 or not size:
            return
        data = self.session.image.read(node.where.start, size)
        more = f" {self.look.glyphs['more']}" if node.where.size > size else ""
        value = node.shown if node.bits is not None else _number(data) if size <= 8 else ""
        if value and width >= _WIDE:
            yield from self.row("bytes", f"{data.hex(' ')}  =  {value}", width)
            return
        yield from self.row("bytes", data.hex(" ") + more, width)
        if value:
            yield from self.row("value", value, width)

    def _bits(self, node: Node, width: int) -> Iterator[Line]:
        fields = describe.bit_fields(node)
        if not fields or width < 20:
            return
        total = node.where.size * 8
        raw = int.from_bytes(self.session.image.read(node.where.start, node.where.size), "big")
        yield self.rule("bits", width)
        yield from self._ruler(fields, raw, total, width)
        for number, field in enumerate(fields):
            low, high = field.bits or (0, 0)
            span = f"{low}" if low == high else f"{high}‥{low}"
            line: Line = [
                (f" {self.look.glyphs.text(span):>6} ", self.look.style("dim")),
                (f"{field.name:<20} ", self.look.style(self._bit_role(field), shade=number % 2)),
                (field.shown, self.look.style("text")),
            ]
            yield line
            if width >= 60 and field.doc:
                yield from (
                    [(" " * 8, self.look.style("dim")), (part, self.look.style("dim"))]
                    for part in wrapped(self.look.glyphs.text(field.doc), width - 9)
                )

    def _bit_role(self, field: Node) -> str:
        if field.name.startswith(("reserved", "unknown")):
            return "bad" if field.shown not in ("0", "0x0") else "free"
        return field.kind

    def _ruler(self, fields: list[Node], raw: int, total: int, width: int) -> Iterator[Line]:
        """All bits in their order, in groups of eight; each in the colour of its field."""
        a_line = total
        while a_line > 8 and a_line + a_line // 8 > width:
            a_line //= 2
        for first in range(total - 1, -1, -a_line):
            line: Line = [(" ", self.look.style("text"))]
            for bit in range(first, first - a_line, -1):
                number = next(i for i, f in enumerate(fields) if f.bits and f.bits[0] <= bit <= f.bits[1])
                is_set = raw >> bit & 1
                shade = number % 2 if is_set else number % 2 + 2
                line.append((f"{is_set}", self.look.style(self._bit_role(fields[number]), shade=shade)))
                if bit % 8 == 0:
                    line.append((" ", self.look.style("text")))
            yield line

    def _steps(self, node: Node, offset: HostOffset, width: int) -> Iterator[Line]:
        steps = describe.guest_steps(self.session, node, offset)
        if steps:
            yield self.rule("arithmetic", width)
            yield from self.steps(steps, width)

    def _readings(self, offset: HostOffset, width: int) -> Iterator[Line]:
        data = self.session.image.source.read_at(offset, 8)
        if not data:
            return
        yield self.rule(f"numbers at {offset}", width)
        for name, value in readings(data):
            yield from self.row(name, value, width)


def _is_plain(owner: ByteOwner) -> bool:
    """True for a structure of one owner: the title says what it is."""
    return owner.purpose.value == "structure" and "," not in owner.words and " and " not in owner.words


def _number(data: bytes) -> str:
    """Bytes as one number: hexadecimal, and decimal if that tells more."""
    value = int.from_bytes(data, "big")
    return f"{value:#0{2 + 2 * len(data)}x}" + (f"  {value:,}" if 9 < value < _READABLE else "")


class Translation(TextPane):
    """How the guest offset under the cursor becomes a host offset, and what other states have there.

    Args:
        session: the image.
        look: colours and glyphs.
        id: Textual id.
    """

    def __init__(self, session: Session, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self.session = session
        self._node: Node | None = None
        self._offset: HostOffset | None = None

    def show(self, node: Node | None, offset: HostOffset) -> None:
        """Show a node; see :meth:`Inspector.show`."""
        self._node, self._offset = node, offset
        self.recompose_lines()

    def compose_lines(self, width: int) -> Iterator[Line]:
        """Guest to host, host to refcount, the other states."""
        if self._offset is None:
            return
        node = self._node
        steps = describe.guest_steps(self.session, node, self._offset) if node else []
        if steps:
            yield self.rule("from guest to host", width)
            yield from self.steps(steps, width)
        yield self.rule("from host to refcount", width)
        yield from self.steps(describe.host_steps(self.session, self._offset), width)
        others = describe.snapshots_of(self.session, node) if node else []
        if others:
            yield self.rule("the same guest cluster in other states", width)
        for name, there, same in others:
            role, word = ("dim", "same") if same else ("warn", "differs")
            sign = "=" if same else self.look.glyphs["differs"]
            yield [
                (f" {self.look.glyphs.text(name)}  ", self.look.style("text")),
                (f"{self.look.glyphs.text(there)}  ", self.look.style("text")),
                (f"{sign} {word}", self.look.style(role)),
            ]
