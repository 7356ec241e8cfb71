"""Numbers that cannot be confused: host and guest offsets, half-open ranges, sizes for people.

A *host* offset counts bytes of the image file, a *guest* offset counts bytes of the virtual disk. The most
expensive bug of this field compares one with the other; here the type checker refuses that line. At run time
both are plain integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

__all__ = [
    "GuestOffset",
    "GuestRange",
    "HostOffset",
    "HostRange",
    "bytes_of",
    "counted",
    "exact_size",
    "human_size",
    "parse_size",
]


class _Offset(int):
    """A byte offset that compares with its own kind only (for the type checker)."""

    __slots__ = ()

    if TYPE_CHECKING:
        # Narrower than int on purpose: HostOffset < GuestOffset must not pass the type checker.
        def __lt__(self, other: Self) -> bool: ...  # type: ignore[override]
        def __le__(self, other: Self) -> bool: ...  # type: ignore[override]
        def __gt__(self, other: Self) -> bool: ...  # type: ignore[override]
        def __ge__(self, other: Self) -> bool: ...  # type: ignore[override]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({int(self):#x})"

    def __str__(self) -> str:
        return f"{int(self):#x}"


class HostOffset(_Offset):
    """Byte offset in the image file (or in its external data file)."""

    __slots__ = ()


class GuestOffset(_Offset):
    """Byte offset in the virtual disk, as the guest sees it."""

    __slots__ = ()


O = TypeVar("O", bound=_Offset)  # noqa: E741 - O as in Offset, private to this module


@dataclass(frozen=True, slots=True)
class _Range(Generic[O]):
    """Half-open range ``[start, end)`` of bytes."""

    start: O
    end: O

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.end - self.start

    def __contains__(self, offset: O) -> bool:
        return self.start <= offset < self.end

    def __bool__(self) -> bool:
        return self.end > self.start

    def __str__(self) -> str:
        return f"{self.start}..{self.end}"

    def overlaps(self, other: _Range[O]) -> bool:
        """True if at least one byte belongs to both."""
        return self.start < other.end and other.start < self.end


class HostRange(_Range[HostOffset]):
    """Half-open range of host bytes."""

    __slots__ = ()

    @classmethod
    def at(cls, start: int, size: int) -> HostRange:
        """The ``size`` bytes that begin at ``start``."""
        return cls(HostOffset(start), HostOffset(start + size))

    def clip(self, start: int, end: int) -> HostRange:
        """The part that lies in ``[start, end)``; empty if there is none."""
        low = max(int(self.start), start)
        return HostRange(HostOffset(low), HostOffset(max(low, min(int(self.end), end))))


class GuestRange(_Range[GuestOffset]):
    """Half-open range of guest bytes."""

    __slots__ = ()

    @classmethod
    def at(cls, start: int, size: int) -> GuestRange:
        """The ``size`` bytes that begin at ``start``."""
        return cls(GuestOffset(start), GuestOffset(start + size))

    def clip(self, start: int, end: int) -> GuestRange:
        """The part that lies in ``[start, end)``; empty if there is none."""
        low = max(int(self.start), start)
        return GuestRange(GuestOffset(low), GuestOffset(max(low, min(int(self.end), end))))


def bytes_of(ranges: Iterable[HostRange] | Iterable[GuestRange]) -> int:
    """Bytes of some ranges that do not overlap."""
    return sum(part.size for part in ranges)


_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def _scaled(size: int) -> Iterator[tuple[float, str]]:
    value = float(size)
    for unit in _UNITS:
        yield value, unit
        value /= 1024


def human_size(size: int) -> str:
    """``size`` bytes in the largest binary unit that keeps it at 1 or more: ``8.00 GiB``, ``512 B``."""
    *_, (value, unit) = ((v, u) for v, u in _scaled(size) if u == "B" or v >= 1)
    if unit == "B":
        return f"{int(size)} B"  # offsets and ends write themselves in hexadecimal
    if value == int(value):
        return f"{int(value)} {unit}"
    return f"{value:.2f} {unit}" if value < 100 else f"{value:.1f} {unit}"


def counted(number: int, one: str, many: str = "") -> str:
    """A number and its noun: ``1 entry``, ``8,192 entries``; the plural adds an s unless ``many`` says otherwise."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def exact_size(size: int) -> str:
    """``size`` bytes with every digit, and in words: ``8,589,934,592 B (8 GiB)``."""
    return f"{size:,} B" if size < 1024 else f"{size:,} B ({human_size(size)})"


_SUFFIXES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50, "e": 1 << 60}


def parse_size(text: str) -> int:
    """Bytes meant by ``4096``, ``0x1000``, ``64K``, ``64KiB``, ``2 MiB``, ``1G``; binary units throughout.

    Raises:
        ValueError: the text is not a size.
    """
    word = text.strip().lower().replace("_", "").replace(",", "")
    if word.startswith("0x"):
        return int(word, 16)
    digits = word.rstrip("ibkmgtpe ")
    suffix = word[len(digits) :].strip().removesuffix("ib").removesuffix("b")
    if not digits.isdecimal() or suffix not in _SUFFIXES:
        raise ValueError(f"{text!r} is not a size: write 4096, 0x1000, 64K, 2MiB or 1G")
    return int(digits) * _SUFFIXES[suffix]
