"""What stands in a cell of a report, and how it is said.

There are four words for nothing, and they never stand for each other: *absent* (the image has no such thing), *zero*
(it has it, and the number is 0), *unreadable* (it is there and cannot be read), *not checked* (nobody looked).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeAlias

from qcow2inspect.layout.structure import visible
from qcow2inspect.units import GuestOffset, HostOffset, exact_size

__all__ = ["Hidden", "Name", "Nothing", "Size", "Time", "Value", "words"]


class Nothing(StrEnum):
    """Why there is no value."""

    ABSENT = "absent"
    """The image has no such thing."""
    UNREADABLE = "unreadable"
    """It is there, and it cannot be read."""
    NOT_CHECKED = "not checked"
    """Nobody looked."""


class Size(int):
    """Bytes."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Time:
    """A moment.

    Attributes:
        nanoseconds: since 1970, UTC.
    """

    nanoseconds: int

    @property
    def iso(self) -> str:
        """ISO 8601 in UTC; the fraction only if there is one."""
        seconds, rest = divmod(self.nanoseconds, 10**9)
        try:
            text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        except (OverflowError, ValueError, OSError):
            return f"{seconds} seconds after 1970"
        return f"{text}.{rest:09}Z" if rest else f"{text}Z"


class Name(str):
    """A name that somebody gave: a path, a snapshot's name, an examiner. It can be hidden on request."""

    __slots__ = ()


class Hidden(str):
    """What stands in the place of a hidden name."""

    __slots__ = ()


Value: TypeAlias = "bool | int | str | Size | HostOffset | GuestOffset | Time | Nothing"
"""What may stand in a cell; text is made harmless when it is said, not before."""


def words(value: Value) -> str:
    """The value for people, every character printable.

    Zero is a word where it is a number of things; offsets and sizes keep their form.
    """
    if isinstance(value, Nothing):
        return value.value
    if isinstance(value, Time):
        return value.iso
    if isinstance(value, str):
        return visible(value)
    return _number(value)


def _number(value: int) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (HostOffset, GuestOffset)):
        return str(value)
    if not value:
        return "zero"
    return exact_size(value) if isinstance(value, Size) else f"{value:,}"
