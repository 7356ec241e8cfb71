"""The two lowest lines: what is going on, and which keys work here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.style import Style
from textual.widget import Widget

from qcow2inspect.tui.commands import key_shown
from qcow2inspect.tui.widgets.paint import columns, strip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events
    from textual.strip import Strip

    from qcow2inspect.tui.commands import Command
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["Banner", "KeyBar", "StatusBar"]


def _cut(text: str, width: int, more: str) -> str:
    """``text`` in at most ``width`` cells, with a sign at the end if some of it is missing."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - cell_len(more))) + more


class StatusBar(Widget):
    """Facts on the left, the state of the survey on the right; a notice takes the place of the facts.

    Attributes:
        heard: is told every notice with its role.

    Args:
        look: colours and glyphs.
    """

    ALLOW_SELECT = False

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look
        self._facts: list[str] = []
        self._work: tuple[str, str] = ("", "dim")
        self._notice: tuple[str, str] = ("", "text")
        self.heard: Callable[[str, str], object] | None = None

    def show_facts(self, facts: list[str]) -> None:
        """Standing facts, the most important first."""
        if facts != self._facts:
            self._facts = facts
            self.refresh()

    def show_work(self, text: str, role: str) -> None:
        """What is being done in the background, or what came of it."""
        if (text, role) != self._work:
            self._work = (text, role)
            self.refresh()

    def say(self, text: str, role: str = "warn") -> None:
        """A notice; an empty one brings the facts back."""
        if self.heard is not None:
            self.heard(text, role)
        if (text, role) != self._notice:
            self._notice = (text, role)
            self.refresh()

    @property
    def notice(self) -> str:
        """The notice that is shown; empty for none."""
        return self._notice[0]

    def render_line(self, y: int) -> Strip:
        """The line."""
        width, fill, glyphs = self.size.width, self.look.style("text"), self.look.glyphs
        if y:
            return strip([], width, fill)
        work: Line = [(f" {glyphs.text(self._work[0])} ", self.look.style(self._work[1]))] if self._work[0] else []
        if self._notice[0]:
            text = _cut(f" {glyphs.text(self._notice[0])}", width, glyphs["more"])
            left: Line = [(text, self.look.style(self._notice[1]))]
            work = work if cell_len(left[0][0]) + sum(cell_len(text) for text, _ in work) < width else []
        else:
            left = self._fact_line(width - sum(cell_len(text) for text, _ in work))
        return strip(columns(left, work, width, fill), width, fill)

    def _fact_line(self, room: int) -> Line:
        bar = f" {self.look.glyphs['wall']} "
        line: Line = [(" ", self.look.style("text"))]
        used = 1
        for number, fact in enumerate(self._facts):
            text = self.look.glyphs.text(fact)
            used += cell_len(text) + (cell_len(bar) if number else 0)
            if used > room:
                break
            if number:
                line.append((bar, self.look.style("faint")))
            line.append((text, self.look.style("text" if number == 0 else "dim")))
        return line


class KeyBar(Widget):
    """The keys that work here, heaviest first, as many as fit; a click does what the key does.

    Args:
        look: colours and glyphs.
    """

    ALLOW_SELECT = False

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look
        self._commands: Sequence[Command] = ()

    def show(self, commands: Sequence[Command]) -> None:
        """The commands to offer."""
        if commands != self._commands:
            self._commands = commands
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The line."""
        width, fill = self.size.width, self.look.style("text")
        line: Line = [(" ", fill)]
        for command in self.fitting(width) if y == 0 else ():
            meta = Style(meta={"key": command.keys[0]})
            line.append((self._key(command), self.look.style("key") + meta))
            line.append((f" {command.title}", self.look.style("dim") + meta))
            line.append(("  ", fill))
        return strip(line, width, fill)

    def fitting(self, width: int) -> list[Command]:
        """The heaviest commands that fit, in the order of the table."""
        chosen: set[str] = set()
        used = 1
        for command in sorted(self._commands, key=lambda command: -command.weight):
            cells = cell_len(f"{self._key(command)} {command.title}  ")
            if not command.weight or used + cells > width:
                continue
            used += cells
            chosen.add(command.id)
        return [command for command in self._commands if command.id in chosen]

    def _key(self, command: Command) -> str:
        key = command.shown or key_shown(command.keys[0])
        return "Enter" if self.look.glyphs.ascii_only and key == "↵" else key

    async def on_click(self, event: events.Click) -> None:
        """A click on a key does what the key does."""
        key = event.style.meta.get("key")
        if key:
            event.stop()
            self.app.simulate_key(key)


class Banner(Widget):
    """One line that appears when something must not be overlooked.

    Args:
        look: colours and glyphs.
    """

    ALLOW_SELECT = False

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look
        self._text = ""

    def show(self, text: str) -> None:
        """Show ``text``; an empty one hides the banner."""
        self._text = text
        self.display = bool(text)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The line."""
        style = self.look.style("conflict")
        return strip([(f" {self.look.glyphs.text(self._text)}" if y == 0 else "", style)], self.size.width, style)
