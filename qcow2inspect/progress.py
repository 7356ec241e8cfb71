"""How long work reports to whoever waits, and how it is told to stop."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Cancelled", "Progress", "Silent"]


class Cancelled(Exception):
    """The user asked to stop. Neither a finding nor an error."""


class Progress(Protocol):
    """Receives the steps of one piece of work after another."""

    def begin(self, what: str, total: int | None) -> None:
        """Work of ``total`` units (usually bytes; None if unknown) starts; ``what`` names it for a person."""

    def advance(self, amount: int) -> None:
        """``amount`` more units are done.

        Raises:
            Cancelled: the user asked to stop.
        """


class Silent:
    """Progress that nobody watches."""

    def begin(self, what: str, total: int | None) -> None:
        """Nothing is shown."""

    def advance(self, amount: int) -> None:
        """Never asks to stop."""
