"""What the inspector and the failure notice have in common as Textual applications."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import App, SystemCommand
from textual.widget import Widget

from qcow2inspect.tui.commands import of_scopes
from qcow2inspect.tui.theme import Colors, Look, themes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from textual.dom import DOMNode
    from textual.screen import Screen

    from qcow2inspect.tui.commands import Command

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
        theme = themes(look.palette)[look.colors]
        super().__init__(ansi_color=theme.ansi)
        self.look = look
        self.next_key: Callable[[str], object] | None = None
        self.animation_level = "none"
        self.register_theme(theme)
        self.theme = theme.name
        self.set_class(look.glyphs.ascii_only, "-ascii")

    def action_theme(self) -> None:
        """The next theme; a terminal without many colours has its own, and says so."""
        if self.look.colors is not Colors.TRUE:
            self.notify_theme("this terminal shows its own colours")
            return
        palette = self.look.next_palette()
        theme = themes(palette)[self.look.colors]
        self.register_theme(theme)
        self.theme = theme.name
        for widget in self._all_widgets():
            getattr(widget, "recolour", widget.refresh)()
        self.notify_theme(f"theme: {palette.name}")

    def notify_theme(self, words: str) -> None:
        """Say which theme is on."""

    def _all_widgets(self) -> Iterable[Widget]:
        stacks = [self.screen_stack, *(stack for stack in self._screen_stacks.values() if stack)]
        screens = {screen: None for stack in stacks for screen in stack}
        return [widget for screen in screens for widget in screen.walk_children(Widget)]

    async def on_event(self, event: events.Event) -> None:
        """A key that another one waits for goes nowhere else."""
        if isinstance(event, events.Key) and self.next_key is not None:
            take, self.next_key = self.next_key, None
            take(event.character or "")
            return
        await super().on_event(event)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette offers what the keys do."""
        panes = (scope for scopes in getattr(screen, "FOCUS_SCOPES", {}).values() for scope in scopes)
        for command in of_scopes("app", getattr(screen, "SCOPE", ""), *panes):
            if command.in_palette and self.target_of(command, screen) is not None:
                yield SystemCommand(command.title.capitalize(), command.help, partial(self.run_command, command))

    def target_of(self, command: Command, screen: Screen[Any]) -> DOMNode | None:
        """Who does what a command says while a screen is in front; None if nobody there does."""
        if not hasattr(screen, "SCOPE") and command.scope == "app":
            return self
        candidates: list[DOMNode] = [*([screen.focused] if screen.focused else []), screen, self]
        return next((node for node in (*candidates, *screen.walk_children()) if _binds(node, command.id)), None)

    def run_command(self, command: Command) -> None:
        """Do what a command says, wherever the focus is."""
        target = self.target_of(command, self.screen)
        if target is None:
            return
        if isinstance(target, Widget) and target.focusable:
            target.focus()
        self.call_later(self.run_action, command.action, target)

    def action_help(self) -> None:
        """All keys."""
        from qcow2inspect.tui.dialogs.help import HelpDialog

        self.push_screen(HelpDialog(self.look), lambda command: self.run_command(command) if command else None)


def _binds(node: DOMNode, command: str) -> bool:
    """True if the keys of a command work while the node has the focus."""
    return any(getattr(binding, "id", None) == command for cls in type(node).__mro__ for binding in _bindings(cls))


def _bindings(cls: type) -> Iterable[object]:
    found: Iterable[object] = vars(cls).get("BINDINGS", ())
    return found
