"""Enumerations that keep unknown values: evidence may hold any number."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

__all__ = ["OpenEnum"]


class OpenEnum(IntEnum):
    """An integer enumeration in which every unsigned value has a member.

    Values without a declared name become members named ``unknown_<value>``, so that a damaged or newer image is
    decoded rather than refused; :attr:`known` tells them apart.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or value < 0:
            return None
        member = int.__new__(cls, value)
        member._name_ = f"unknown_{value}"
        member._value_ = value
        return member

    @property
    def known(self) -> bool:
        """True if the specification names this value."""
        return self.name in type(self).__members__

    @property
    def shown(self) -> str:
        """Value and name for people: ``2 (luks)``."""
        return f"{int(self)} ({self.name.lower() if self.known else 'unknown'})"
