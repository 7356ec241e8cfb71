"""What the inspector and the failure notice have in common as Textual applications."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import App, SystemCommand
from textual.widget import Widget

from qcow2inspect.tui.commands import of_scopes
from qcow2inspect.tui.sheet import Sheet
from qcow2inspect.tui.theme import Colors, Look, themes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from textual.dom import DOMNode
    from textual.message_pump import MessagePump
    from textual.screen import Screen

    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.source.protocol import Source
    from qcow2inspect.tui.commands import Command
    from qcow2inspect.tui.palette import Palette

__all__ = ["BaseApp", "fit"]

_DECIDING = 0.02
"""Seconds until a screen is asked again whether it still finds out what the last key leads to."""


def fit(screen: Screen[Any]) -> None:
    """Give a screen the classes of the terminal's size before it is laid out for the first time, not after."""
    app = screen.app
    for cells, steps in zip(app.size, (app.HORIZONTAL_BREAKPOINTS, app.VERTICAL_BREAKPOINTS), strict=True):
        screen.add_class(max(step for step in steps or () if step[0] <= cells)[1])


class BaseApp(App[None]):
    """What both applications share: style sheet, themes, breakpoints, leaving.

    Attributes:
        next_key: takes the next key instead of all bindings; None if nothing waits for one.
        reopen: what to assume when the file is opened again; None if it shall not be.
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
        self.reopen: Assumptions | None = None
        self._keys: deque[events.Key] = deque()
        self._acting = False
        self.animation_level = "none"
        self.register_theme(theme)
        self.theme = theme.name
        self.stylesheet = Sheet(variables=self.get_css_variables())
        self._styled: tuple[str, dict[str, str]] | None = None
        self.set_class(look.glyphs.ascii_only, "-ascii")

    def ask_assumptions(
        self, source: Callable[[], AbstractContextManager[Source]], given: Assumptions, then: Callable[[], object]
    ) -> None:
        """Ask what to assume of an image; ``then`` leaves, so that it can be opened again."""
        from qcow2inspect.tui.dialogs.assume import AssumeDialog

        def take(assumed: Assumptions | None) -> None:
            if assumed is not None:
                self.reopen = assumed
                then()

        self.push_screen(AssumeDialog(self.look, source, given), take)

    def action_theme(self) -> None:
        """The next theme; a terminal without many colours has its own, and says so."""
        if self.look.colors is not Colors.TRUE:
            self.notify_theme("this terminal shows its own colours")
            return
        self.use_palette(self.look.next_palette())

    def use_palette(self, palette: Palette) -> None:
        """Show the colours of a theme."""
        if self.look.colors is not Colors.TRUE:
            self.notify_theme("this terminal shows its own colours")
            return
        self.look.palette = palette
        theme = themes(palette)[self.look.colors]
        self.register_theme(theme)
        self.theme = theme.name
        for widget in self._all_widgets():
            getattr(widget, "recolour", widget.refresh)()
        self.notify_theme(f"theme: {palette.name}")

    def refresh_css(self, animate: bool = True) -> None:
        """Style everything anew, if the theme has changed since that was done last; start-up asks twice."""
        wanted = (self.theme, self.get_css_variables())
        if wanted != self._styled:
            self._styled = wanted
            super().refresh_css(animate)

    def notify_theme(self, words: str) -> None:
        """Say which theme is on."""

    def _all_widgets(self) -> Iterable[Widget]:
        stacks = [self.screen_stack, *(stack for stack in self._screen_stacks.values() if stack)]
        screens = {screen: None for stack in stacks for screen in stack}
        return [widget for screen in screens for widget in screen.walk_children(Widget)]

    # -- keys -------------------------------------------------------------------------------------------------

    async def on_event(self, event: events.Event) -> None:
        """Keys wait for those before them; all else takes its way at once."""
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
            return
        self._keys.append(event)
        if not self._acting:
            await self._take_key()

    @property
    def keys_wait(self) -> bool:
        """True until all that was typed is done, with what it caused."""
        return self._acting

    async def _take_key(self) -> None:
        """Act on the next key; one that another key waits for goes nowhere else."""
        self._acting = bool(self._keys)
        if not self._keys:
            return
        event = self._keys.popleft()
        if self.next_key is not None:
            take, self.next_key = self.next_key, None
            take(event.character or "")
        else:
            await super().on_event(event)
        await self._follow(self._way(), None)

    def _way(self) -> list[MessagePump]:
        """Whose queues a key passes, one after the other."""
        return list((self.focused or self.screen).ancestors_with_self)

    async def _follow(self, way: list[MessagePump], before: list[MessagePump] | None) -> None:
        """Walk behind a key until it is done, what it caused is done, and the screen that it opened is there.

        Args:
            way: whose queues are still to be passed. A screen that is not mounted yet does not look into its queue.
            before: the way of the last round; the same once more means that nothing moves any longer.
        """
        whole = self._way()
        for at, node in enumerate(way):
            if node.call_later(self._follow, way[at + 1 :], before):
                return
        if whole != before:
            await self._follow(whole, whole)
        elif getattr(self.screen, "deciding", False) and not any(key.key == "escape" for key in self._keys):
            self.set_timer(_DECIDING, partial(self._follow, whole, whole))
        else:
            await self._take_key()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette offers what the keys do."""
        for command in self.offered(screen):
            yield SystemCommand(command.in_full, command.help, partial(self.run_command, command))

    def offered(self, screen: Screen[Any]) -> list[Command]:
        """The commands that can be called by name while a screen is in front."""
        panes = (scope for scopes in getattr(screen, "FOCUS_SCOPES", {}).values() for scope in scopes)
        commands = of_scopes("app", getattr(screen, "SCOPE", ""), *panes)
        return [one for one in commands if one.in_palette and self.target_of(one, screen) is not None]

    def action_command_line(self) -> None:
        """Ask for a command, with what it takes."""
        from qcow2inspect.tui.dialogs.command import CommandDialog

        dialog = CommandDialog(self.look, self.offered(self.screen))
        self.push_screen(dialog, lambda deed: deed.act() if deed is not None else None)

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

    def action_explain(self) -> None:
        """What is under the cursor; where that is nothing, all keys."""
        explained = getattr(self.screen, "explained", None)
        what = explained() if explained is not None else None
        if what is None:
            self.action_help()
            return
        from qcow2inspect.tui.dialogs.explain import ExplainDialog

        self.push_screen(ExplainDialog(self.look, what))


def _binds(node: DOMNode, command: str) -> bool:
    """True if the keys of a command work while the node has the focus."""
    return any(getattr(binding, "id", None) == command for cls in type(node).__mro__ for binding in _bindings(cls))


def _bindings(cls: type) -> Iterable[object]:
    found: Iterable[object] = vars(cls).get("BINDINGS", ())
    return found
