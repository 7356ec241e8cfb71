"""The style sheet of an application, read as seldom as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.css.stylesheet import Stylesheet

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Sheet"]


class Sheet(Stylesheet):
    """Reads its rules again only if a variable has changed since it read them.

    An application asks for that twice before its first paint, because it has been given a theme; reading all rules
    takes a tenth of the time to the first screen.

    Args:
        variables: name -> value of what the rules refer to.
    """

    def __init__(self, *, variables: Mapping[str, str] | None = None) -> None:
        super().__init__(variables=dict(variables or {}))
        self._given = dict(variables or {})
        self._stale = False

    def set_variables(self, variables: dict[str, str]) -> None:
        """What the rules refer to from now on; :meth:`reparse` makes them heed it."""
        if variables != self._given:
            self._given, self._stale = dict(variables), True
            super().set_variables(variables)

    def reparse(self) -> None:
        """Read the rules again, if something has changed.

        Raises:
            StylesheetParseError: a rule is wrong.
        """
        if self._stale:
            super().reparse()
            self._stale = False
