"""The application that says why a file cannot be inspected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from qcow2inspect.layout.structure import visible
from qcow2inspect.tui.base import BaseApp
from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.screens.failure import FailureScreen

if TYPE_CHECKING:
    from textual.screen import Screen

    from qcow2inspect.errors import Qcow2InspectError
    from qcow2inspect.tui.theme import Look

__all__ = ["FailureApp"]


class FailureApp(BaseApp):
    """Shows why a file cannot be inspected.

    Args:
        path: the file.
        error: why.
        look: colours and glyphs; those of the terminal by default.
    """

    BINDINGS = bindings("app", only=("help", "quit"))

    def __init__(self, path: str, error: Qcow2InspectError, look: Look | None = None) -> None:
        super().__init__(look)
        self.path = path
        self.error = error

    def get_default_screen(self) -> Screen[None]:
        """The failure."""
        return FailureScreen(self.path, self.error, self.look)

    def action_leave(self) -> None:
        """Leave; the message stays in the terminal."""
        self.exit(return_code=self.error.exit_code, message=Text(visible(str(self.error))))
