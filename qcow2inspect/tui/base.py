"""What the inspector and the failure notice have in common as Textual applications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.app import App, SystemCommand

from qcow2inspect.tui.commands import of_scopes
from qcow2inspect.tui.theme import Look, themes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from textual.screen import Screen

__all__ = ["BaseApp"]


class BaseApp(App[None]):
    """What both applications share: style sheet, themes, breakpoints, leaving.

    Attributes:
        next_key: takes the next key instead of all bindings; None if nothing waits for one.
    """

    TITLE = "qcow2inspect"
    CSS_PATH = "styles/app.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (116, "-normal"), (176, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (16, "-low"), (34, "-high")]

    def __init__(self, look: Look | None = None) -> None:
        look = look or Look.of_terminal()
        theme = themes()[look.colors]
        super().__init__(ansi_color=theme.ansi)
        self.look = look
        self.next_key: Callable[[str], object] | None = None
        self.animation_level = "none"
        self.register_theme(theme)
        self.theme = theme.name
        self.set_class(look.glyphs.ascii_only, "-ascii")

    async def on_event(self, event: events.Event) -> None:
        """A key that another one waits for goes nowhere else."""
        if isinstance(event, events.Key) and self.next_key is not None:
            take, self.next_key = self.next_key, None
            take(event.character or "")
            return
        await super().on_event(event)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette offers what the keys do."""
        scopes = ("app", getattr(screen, "SCOPE", ""))
        for command in of_scopes(*scopes):
            if command.in_palette and command.id != "help":
                yield SystemCommand(command.title.capitalize(), command.help, self._caller(command.action, screen))
        yield SystemCommand("Help", "All keys and what they do", self.action_help)

    def _caller(self, action: str, screen: Screen[object]) -> Callable[[], Awaitable[None]]:
        target = self if hasattr(self, f"action_{action.partition('(')[0]}") else screen

        async def call() -> None:
            await self.run_action(action, default_namespace=target)

        return call

    def action_help(self) -> None:
        """All keys."""
        from qcow2inspect.tui.dialogs.help import HelpDialog

        self.push_screen(HelpDialog(self.look))
