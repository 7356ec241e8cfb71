"""Structures: fields at fixed offsets, big-endian.

A structure is declared once::

    class HeaderV2(Structure):
        \"\"\"The first 72 bytes of every image.\"\"\"
        magic: int = u32(0, "QCOW magic string")
        backing_file_offset: HostOffset = u64(8, "Where the backing file name is stored; 0 if none")

and from that one declaration come a frozen dataclass, :meth:`Structure.parse`, :meth:`Structure.encode` and the
nodes that tree, hex pane and report show. The annotation converts the number. Rows that do not meet byte for
byte are refused when the class is made.
"""

from __future__ import annotations

import dataclasses
import struct
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform, get_origin, get_type_hints

from qcow2inspect.layout.node import Node
from qcow2inspect.layout.openenum import OpenEnum
from qcow2inspect.layout.word import Word
from qcow2inspect.units import GuestOffset, HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

__all__ = ["Row", "Structure", "blob", "brief", "printable", "shown", "u8", "u16", "u32", "u64", "visible"]


_BRIEF = 64
_NUMBERS = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """Where one field lies and what it is.

    Attributes:
        name: the specification's name.
        at: byte offset in the structure.
        size: bytes.
        doc: what it is, in one sentence.
        is_bytes: True for text and key material, False for an unsigned big-endian number.
        show: turns the converted value into words; None for the usual form of its type.
    """

    name: str
    at: int
    size: int
    doc: str
    is_bytes: bool
    show: Callable[[Any], str] | None


def _field(at: int, size: int, doc: str, *, is_bytes: bool, show: Callable[[Any], str] | None) -> Any:
    return dataclasses.field(metadata={"row": (at, size, doc, is_bytes, show)})


def u8(at: int, doc: str, *, show: Callable[[Any], str] | None = None) -> Any:
    """An unsigned byte at byte ``at``."""
    return _field(at, 1, doc, is_bytes=False, show=show)


def u16(at: int, doc: str, *, show: Callable[[Any], str] | None = None) -> Any:
    """An unsigned big-endian 16-bit number at byte ``at``."""
    return _field(at, 2, doc, is_bytes=False, show=show)


def u32(at: int, doc: str, *, show: Callable[[Any], str] | None = None) -> Any:
    """An unsigned big-endian 32-bit number at byte ``at``."""
    return _field(at, 4, doc, is_bytes=False, show=show)


def u64(at: int, doc: str, *, show: Callable[[Any], str] | None = None) -> Any:
    """An unsigned big-endian 64-bit number at byte ``at``."""
    return _field(at, 8, doc, is_bytes=False, show=show)


def blob(at: int, size: int, doc: str, *, show: Callable[[Any], str] | None = None) -> Any:
    """``size`` bytes at byte ``at``, kept as they are."""
    return _field(at, size, doc, is_bytes=True, show=show)


@dataclass_transform(frozen_default=True, field_specifiers=(u8, u16, u32, u64, blob))
class Structure:
    """Base of all declared structures. Subclasses of a structure append fields to it."""

    SIZE: ClassVar[int] = 0
    """Bytes of the whole structure."""
    ROWS: ClassVar[tuple[Row, ...]] = ()
    """The fields in order of offset."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        made: Any = dataclasses.dataclass(init=False, eq=False, repr=False)(cls)
        cls.ROWS = tuple(Row(field.name, *field.metadata["row"]) for field in dataclasses.fields(made))
        end = 0
        for row in cls.ROWS:
            if row.at != end:
                raise TypeError(f"{cls.__name__}.{row.name} starts at byte {row.at}, the row before ends at {end}")
            end = row.at + row.size
        cls.SIZE = end

    # One general method each instead of one generated for every structure: that would cost a millisecond of
    # start-up per structure.

    def __init__(self, *values: Any, **named: Any) -> None:
        named |= zip((row.name for row in self.ROWS), values, strict=False)
        if len(values) > len(self.ROWS) or named.keys() != {row.name for row in self.ROWS}:
            raise TypeError(f"{type(self).__name__} takes {', '.join(row.name for row in self.ROWS)}")
        self.__dict__.update(named)

    def __setattr__(self, name: str, value: object) -> None:
        raise dataclasses.FrozenInstanceError(f"{type(self).__name__}.{name} cannot be assigned")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"

    @classmethod
    def row(cls, name: str) -> Row:
        """The row of the field ``name``.

        Raises:
            KeyError: there is no such field.
        """
        for row in cls.ROWS:
            if row.name == name:
                return row
        raise KeyError(name)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the structure from the first :attr:`SIZE` bytes of ``data``; any bytes parse.

        Raises:
            ValueError: ``data`` is too short.
        """
        if len(data) < cls.SIZE:
            raise ValueError(f"{cls.__name__} needs {cls.SIZE} bytes, got {len(data)}")
        packed, convert = _reader(cls)  # type: ignore[arg-type]  # mypy forgets that classes are hashable
        made = cls.__new__(cls)
        values = zip(convert, packed.unpack_from(data), strict=True)
        made.__dict__.update({name: kind(value) if kind else value for (name, kind), value in values})
        return made

    def encode(self) -> bytes:
        """The bytes on disk; ``parse(x.encode()) == x``.

        Raises:
            ValueError: a byte field has not exactly the size of its row.
            OverflowError: a number does not fit.
        """
        parts = []
        for row in self.ROWS:
            value = getattr(self, row.name)
            part = bytes(value) if row.is_bytes else int(value).to_bytes(row.size, "big")
            if len(part) != row.size:
                raise ValueError(f"{type(self).__name__}.{row.name} needs {row.size} bytes, got {len(part)}")
            parts.append(part)
        return b"".join(parts)

    def nodes(self, at: int, path: str, kind: str, spec: str = "") -> list[Node]:
        """One node for each field, for a structure that lies at host offset ``at``.

        Args:
            at: host offset of the structure.
            path: address prefix; the field name is appended after a dot.
            kind: kind of all nodes.
            spec: section of the specification.
        """
        return [self.node(row, at, path, kind, spec) for row in self.ROWS]

    def node(self, row: Row, at: int, path: str, kind: str, spec: str = "") -> Node:
        """The node of one field; see :meth:`nodes`."""
        value = getattr(self, row.name)
        where = HostRange.at(at + row.at, row.size)
        field_path = f"{path}.{row.name}"
        node = Node(
            name=row.name,
            path=field_path,
            where=where,
            shown=row.show(value) if row.show else shown(value),
            doc=row.doc,
            spec=spec,
            kind=kind,
            target=value if isinstance(value, HostOffset) and value else None,
        )
        if isinstance(value, Word):
            return dataclasses.replace(node, children=lambda: value.nodes(at + row.at, field_path, kind, spec))
        return node


@cache
def _reader(kind: type[Structure]) -> tuple[struct.Struct, Sequence[tuple[str, Callable[[Any], Any] | None]]]:
    """What takes the bytes apart, and for each field its name and what turns its number into a value."""
    hints = get_type_hints(kind)
    parts = "".join(f"{row.size}s" if row.is_bytes else _NUMBERS[row.size] for row in kind.ROWS)
    types = {row.name: None if row.is_bytes else get_origin(hints[row.name]) or hints[row.name] for row in kind.ROWS}
    return struct.Struct(f">{parts}"), [(name, None if made is int else made) for name, made in types.items()]


def printable(text: bytes) -> str:
    """Text from an image, safe on every terminal and unambiguous: backslashes are doubled, the rest as in
    :func:`visible`.
    """
    return visible(text.decode("utf-8", "surrogateescape").replace("\\", "\\\\"))


def brief(text: bytes) -> str:
    """:func:`printable`, no longer than 64 characters."""
    words = printable(text[: 4 * _BRIEF + 4])  # a character has at most 4 bytes
    return words if len(words) <= _BRIEF else words[: _BRIEF - 3] + "..."


def visible(text: str) -> str:
    """``text`` with everything escaped that is not plainly printable.

    Control characters, bidirectional marks and bytes that were no UTF-8 appear as ``\\x1b`` or ``\\u202e``.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    if 0xDC80 <= ord(char) <= 0xDCFF:
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")


def shown(value: object) -> str:
    """The usual form of a field's value for people."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, bytes):
        return brief(value.rstrip(b"\0"))
    if isinstance(value, OpenEnum):
        return value.shown
    if isinstance(value, (HostOffset, GuestOffset)):
        return f"{int(value):#x}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
