"""Words: the bit fields of one integer, or of a whole column of integers at once.

A word is declared once::

    class L2Entry(Word[R]):
        copied = flag(63, "Refcount of the cluster is exactly one")
        host_cluster_offset = offset(9, 55, HostOffset, "Where the data lies; 0 if unallocated")

``L2Entry(5).host_cluster_offset`` is a :class:`~qcow2inspect.units.HostOffset`;
``L2Entry(column).host_cluster_offset`` is a numpy column, for a ``uint64`` column in native byte order. Every bit
of the word must be declared exactly once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from qcow2inspect.layout.node import Node
from qcow2inspect.units import GuestOffset, HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self, TypeAlias

    import numpy as np
    import numpy.typing as npt

    Column: TypeAlias = npt.NDArray[np.uint64]
    Mask: TypeAlias = npt.NDArray[np.bool_]

__all__ = ["Bits", "R", "Word", "flag", "number", "offset", "reserved"]

R = TypeVar("R")
V = TypeVar("V")
C = TypeVar("C")


class Bits(Generic[V, C]):
    """Bits ``low`` to ``high`` (inclusive) of a word: ``V`` for one word, a column of ``C`` for a column.

    Attributes:
        low, high: bit numbers, 0 is least significant.
        doc: what it is, in one sentence.
        in_place: True if the value keeps its place (an offset), False if it is shifted down (a number).
        is_reserved: True if the specification wants zero here.
    """

    name = ""

    def __init__(
        self, low: int, high: int, doc: str, convert: Callable[[int], V], *, in_place: bool, is_reserved: bool = False
    ) -> None:
        self.low = low
        self.high = high
        self.doc = doc
        self.in_place = in_place
        self.is_reserved = is_reserved
        self._convert = convert
        self.mask = ((1 << (high - low + 1)) - 1) << low

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, word: None, owner: type) -> Self: ...
    @overload
    def __get__(self, word: Word[int], owner: type) -> V: ...
    @overload
    def __get__(self, word: Word[Column], owner: type) -> C: ...
    def __get__(self, word: Word[Any] | None, owner: type) -> Any:
        if word is None:
            return self
        value = word.raw & self.mask
        if not self.in_place:
            value = value >> self.low
        return self._convert(value) if isinstance(value, int) else self._column(value)

    def _column(self, value: Column) -> Column | Mask:
        return value != 0 if self._convert is bool else value


def flag(bit: int, doc: str) -> Bits[bool, Mask]:
    """One bit that is on or off."""
    return Bits(bit, bit, doc, bool, in_place=False)


def number(low: int, high: int, doc: str) -> Bits[int, Column]:
    """An unsigned number in bits ``low`` to ``high``."""
    return Bits(low, high, doc, int, in_place=False)


O = TypeVar("O", HostOffset, GuestOffset)  # noqa: E741 - O as in Offset, private to this module


def offset(low: int, high: int, kind: type[O], doc: str) -> Bits[O, Column]:
    """A byte offset whose bits keep their place: bits below ``low`` are zero by alignment."""
    return Bits(low, high, doc, kind, in_place=True)


def reserved(low: int, high: int | None = None) -> Bits[int, Column]:
    """Bits that the specification wants to be zero."""
    high = low if high is None else high
    return Bits(low, high, "Reserved; must be zero", int, in_place=True, is_reserved=True)


class Word(Generic[R]):
    """One big-endian integer with named bits, or a column of them.

    Attributes:
        raw: the number, or a numpy ``uint64`` column in native order; the index is that of its table.
    """

    WIDTH: ClassVar[int] = 64
    """Bits of the word."""
    FIELDS: ClassVar[tuple[Bits[Any, Any], ...]] = ()
    """All fields, most significant first."""
    RESERVED: ClassVar[int] = 0
    """Mask of the bits that the specification wants to be zero."""

    __slots__ = ("raw",)

    def __init__(self, raw: R) -> None:
        self.raw = raw

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        declared = {
            name: value
            for base in reversed(cls.__mro__)
            for name, value in vars(base).items()
            if isinstance(value, Bits)
        }
        if not declared:
            return
        cls.FIELDS = tuple(sorted(declared.values(), key=lambda bits: -bits.high))
        seen = 0
        for bits in cls.FIELDS:
            if seen & bits.mask:
                raise TypeError(f"{cls.__name__}.{bits.name} overlaps another field")
            seen |= bits.mask
        if seen != (1 << cls.WIDTH) - 1:
            raise TypeError(f"{cls.__name__} leaves bits {((1 << cls.WIDTH) - 1) ^ seen:#x} undeclared")
        cls.RESERVED = sum(bits.mask for bits in cls.FIELDS if bits.is_reserved)

    @classmethod
    def make(cls, **values: int) -> int:
        """The number whose fields have these values; the others are zero. The inverse of :meth:`values`.

        Raises:
            KeyError: there is no such field.
            ValueError: a value does not fit its bits.
        """
        fields = {bits.name: bits for bits in cls.FIELDS}
        raw = 0
        for name, value in values.items():
            bits = fields[name]
            placed = int(value) if bits.in_place else int(value) << bits.low
            if placed & ~bits.mask or placed < 0:
                raise ValueError(f"{cls.__name__}.{name} cannot hold {int(value):#x}")
            raw |= placed
        return raw

    def values(self: Word[int]) -> Mapping[str, int]:
        """Field name -> value, most significant first."""
        return {bits.name: getattr(self, bits.name) for bits in self.FIELDS}

    def nodes(self: Word[int], at: int, path: str, kind: str, spec: str = "") -> list[Node]:
        """One node for each bit field of a word that lies at host offset ``at``, most significant first."""
        where = HostRange.at(at, self.WIDTH // 8)
        return [self._node(bits, where, path, kind, spec) for bits in self.FIELDS]

    def _node(self: Word[int], bits: Bits[Any, Any], where: HostRange, path: str, kind: str, spec: str) -> Node:
        value = getattr(self, bits.name)
        is_offset = isinstance(value, (HostOffset, GuestOffset))
        return Node(
            name=bits.name,
            path=f"{path}.{bits.name}",
            where=where,
            shown=f"{int(value):#x}" if is_offset or (bits.is_reserved and value) else f"{int(value):,}",
            doc=bits.doc,
            spec=spec,
            kind=kind,
            bits=(bits.low, bits.high),
            target=value if isinstance(value, HostOffset) and value else None,
        )

    def __int__(self: Word[int]) -> int:
        return self.raw

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bool(self.raw == other.raw)

    def __hash__(self) -> int:
        return hash((type(self), self.raw))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    def __str__(self) -> str:
        """The number in hexadecimal and the names of the flags that are set."""
        if not isinstance(self.raw, int):
            return f"column of {len(self.raw)}"  # type: ignore[arg-type]  # R is int or a column
        names = [bits.name for bits in self.FIELDS if bits.low == bits.high and self.raw & bits.mask]
        return f"{self.raw:#x}" + (f" ({', '.join(names)})" if names else "")
