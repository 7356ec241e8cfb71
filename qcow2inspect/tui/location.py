"""Where the user is, and where they have been."""

from __future__ import annotations

from dataclasses import dataclass, field

from qcow2inspect.units import HostOffset

__all__ = ["History", "Location"]

_REMEMBERED = 1000
_START = HostOffset(0)


@dataclass(frozen=True, slots=True)
class Location:
    """One place of the image, as one screen shows it.

    Attributes:
        offset: host offset of the cursor.
        path: address expression of the node that the user is looking at; empty for the innermost one there.
        size: bytes from ``offset`` on that are marked, because a finding names them; None for none.
        title: what to tell the user on arrival.
        mode: the screen that shows it: ``overview`` or ``explore``.
    """

    offset: HostOffset = _START
    path: str = ""
    size: int | None = None
    title: str = ""
    mode: str = "explore"


@dataclass
class History:
    """The way behind and ahead, like that of a web browser."""

    _back: list[Location] = field(default_factory=list)
    _forward: list[Location] = field(default_factory=list)

    def leave(self, here: Location) -> None:
        """Remember ``here`` before a jump; what lay ahead is forgotten."""
        if not self._back or self._back[-1] != here:
            self._back.append(here)
            del self._back[:-_REMEMBERED]
        self._forward.clear()

    def back(self, here: Location) -> Location | None:
        """The place before ``here``; None if this is the first."""
        return self._step(self._back, self._forward, here)

    def forward(self, here: Location) -> Location | None:
        """The place that :meth:`back` left; None if there is none."""
        return self._step(self._forward, self._back, here)

    def _step(self, source: list[Location], other: list[Location], here: Location) -> Location | None:
        while source:
            there = source.pop()
            if there != here:
                other.append(here)
                return there
        return None
