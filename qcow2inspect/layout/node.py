"""A named range of bytes or bits: the one thing that tree, hex pane, explanation and report know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, overload

if TYPE_CHECKING:
    from qcow2inspect.units import GuestRange, HostOffset, HostRange

__all__ = ["Lazy", "Node", "no_children"]

T = TypeVar("T")


def no_children() -> Sequence[Node]:
    """The children of a leaf."""
    return ()


@dataclass(frozen=True, slots=True)
class Node:
    """A named range of an on-disk structure.

    Attributes:
        name: short label in the specification's words (``l1_table_offset``, ``[17]``).
        path: address expression that leads here again (``hdr.l1_table_offset``, ``L1[2].L2[17]``).
        where: host bytes, half-open.
        shown: the value for people; never raw image text with control characters.
        doc: what it is, in one sentence.
        spec: section of the specification.
        kind: what it belongs to, for colour and glyph (``header``, ``l1``, ``l2``, ``refcount``, ``data``, ...).
        state: what the range says in one word, for colour and glyph (``normal``, ``compressed``, ``invalid``).
        guest: guest bytes that the range describes; None if it describes none.
        bits: ``(low, high)`` inclusive, counted in the big-endian number at ``where``; None for whole bytes.
        target: host offset this value points to; None if it is no pointer or a null pointer.
        target_path: address expression of what it points to; empty if unknown.
        children: the parts, made when asked for; a long table returns a lazy sequence.
    """

    name: str
    path: str
    where: HostRange
    shown: str = ""
    doc: str = ""
    spec: str = ""
    kind: str = ""
    state: str = ""
    guest: GuestRange | None = None
    bits: tuple[int, int] | None = None
    target: HostOffset | None = None
    target_path: str = ""
    children: Callable[[], Sequence[Node]] = no_children

    @property
    def is_leaf(self) -> bool:
        """True if there is nothing below."""
        return self.children is no_children


class Lazy(Sequence[T]):
    """A sequence of ``count`` things, each made by ``make(index)`` when it is looked at."""

    def __init__(self, count: int, make: Callable[[int], T]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return [self._make(i) for i in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self._make(index % self._count)
