"""The application that says why a file cannot be inspected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from qcow2inspect.image.assumed import NOTHING_ASSUMED
from qcow2inspect.layout.structure import visible
from qcow2inspect.tui.base import BaseApp
from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.screens.failure import FailureScreen, can_assume

if TYPE_CHECKING:
    from textual.screen import Screen

    from qcow2inspect.errors import Qcow2InspectError
    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.tui.theme import Look

__all__ = ["FailureApp"]


class FailureApp(BaseApp):
    """Shows why a file cannot be inspected.

    Args:
        path: the file.
        error: why.
        look: colours and glyphs; those of the terminal by default.
        assumed: what was assumed of the file, and did not help.
    """

    BINDINGS = bindings("app", only=("assume", "help", "quit"))

    def __init__(
        self,
        path: str,
        error: Qcow2InspectError,
        look: Look | None = None,
        assumed: Assumptions = NOTHING_ASSUMED,
    ) -> None:
        super().__init__(look)
        self._assumed = assumed
        self.path = path
        self.error = error

    def get_default_screen(self) -> Screen[None]:
        """The failure."""
        return FailureScreen(self.path, self.error, self.look)

    def action_assume(self) -> None:
        """Open it as if other values stood in its header."""
        from qcow2inspect.source.file import FileSource

        if can_assume(self.error):
            self.ask_assumptions(lambda: FileSource(self.path), self._assumed, self.exit)

    def action_leave(self) -> None:
        """Leave; the message stays in the terminal."""
        self.exit(return_code=self.error.exit_code, message=Text(visible(str(self.error))))
