"""What the dialogs are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rich.cells import cell_len
from textual.binding import Binding
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget

from qcow2inspect.tui.base import fit
from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.theme import Ground
from qcow2inspect.tui.widgets.paint import strip, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.geometry import Size
    from textual.strip import Strip

    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["Caption", "Cycle", "Dialog", "Notes", "TallDialog", "Toggle", "common_start", "duration"]


R = TypeVar("R")


class Dialog(ModalScreen[R]):
    """A screen over another that gives a result once, however often and fast it is asked to close."""

    BINDINGS = bindings("dialog")
    _left = False

    def on_compose(self) -> None:
        """Be laid out once, for the terminal as it is."""
        fit(self)

    def leave(self, result: R) -> None:
        """Close with ``result``, unless that has happened already."""
        if not self._left and self.is_current:
            self._left = True
            self.dismiss(result)

    def entitle(self, title: str) -> None:
        """Say in the frame what the dialog is about."""
        self.query_one("#dialog").border_title = title

    def offer(self, keys: str) -> None:
        """Say in the frame which keys do what."""
        self.query_one("#dialog").border_subtitle = keys


class TallDialog(Dialog[R]):
    """A dialog that may be taller than the terminal, and says so."""

    BINDINGS = [
        Binding("pagedown", "page(1)", "more", show=False),
        Binding("pageup", "page(-1)", "back", show=False),
    ]
    _offered = ""

    def on_mount(self) -> None:
        """Look again whether all can be seen when there is more or less of it."""
        form = self.query_one("#dialog")
        for name in ("virtual_size", "size"):
            self.watch(form, name, self._laid_out, init=False)

    def offer(self, keys: str) -> None:
        """Say in the frame which keys do what."""
        self._offered = keys
        self._show_keys()

    def _laid_out(self) -> None:
        self.call_after_refresh(self._show_keys)  # one of the two changes before the other

    def _show_keys(self) -> None:
        more = "PgDn more   " if self.query_one("#dialog").max_scroll_y else ""
        super().offer(more + self._offered)

    def action_page(self, pages: int) -> None:
        """Show what does not fit."""
        form = self.query_one("#dialog")
        form.scroll_relative(y=pages * max(1, form.size.height - 1), animate=False)


class Toggle(Widget, can_focus=True):
    """A choice on one line: ``[x] leave holes where the disk has zeros``.

    Attributes:
        value: True if chosen.

    Args:
        look: colours and glyphs.
        label: what is chosen.
        value: at first.
        id: Textual id.
    """

    ALLOW_SELECT = False
    BINDINGS = [Binding("space", "switch", "change", show=False)]

    class Changed(Message):
        """The user changed their mind."""

        def __init__(self, toggle: Toggle) -> None:
            super().__init__()
            self.toggle = toggle

    def __init__(self, look: Look, label: str, *, value: bool, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self.look = look
        self.label = label
        self.value = value

    def action_switch(self) -> None:
        """The other way round."""
        self.value = not self.value
        self.refresh()
        self.post_message(self.Changed(self))

    def render_line(self, y: int) -> Strip:
        """The line."""
        ground = Ground.ROW if self.has_focus else Ground.PLAIN
        style = self.look.style("text", ground)
        mark = "x" if self.value else " "
        line = [(f"[{mark}] ", self.look.style("key", ground)), (self.label, style)] if y == 0 else []
        return strip(line, self.size.width, style)

    def on_click(self, event: events.Click) -> None:
        """A click changes it."""
        event.stop()
        self.action_switch()

    def on_focus(self) -> None:
        """It looks different with focus."""
        self.refresh()

    def on_blur(self) -> None:
        """It looks different without focus."""
        self.refresh()


class Cycle(Widget, can_focus=True):
    """One of several on one line: ``state  < active state >``.

    Args:
        look: colours and glyphs.
        label: what is chosen.
        options: what can be chosen, in words.
        index: of the one chosen at first.
        id: Textual id.
    """

    ALLOW_SELECT = False
    BINDINGS = [
        Binding("space,right", "step(1)", "next", show=False),
        Binding("left", "step(-1)", "previous", show=False),
    ]

    class Changed(Message):
        """The user changed their mind."""

    def __init__(self, look: Look, label: str, options: Sequence[str], index: int, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self.look = look
        self.label = label
        self.options = options
        self.index = index

    def action_step(self, by: int) -> None:
        """The next, or the one before."""
        self.index = (self.index + by) % len(self.options)
        self.refresh()
        self.post_message(self.Changed())

    def render_line(self, y: int) -> Strip:
        """The line."""
        ground = Ground.ROW if self.has_focus else Ground.PLAIN
        style, key = self.look.style("text", ground), self.look.style("key", ground)
        chosen = self.look.glyphs.text(self.options[self.index])
        count = f"  {self.index + 1} of {len(self.options)}" if len(self.options) > 1 else ""
        line = [(f"{self.label}  ", self.look.style("dim", ground)), ("< ", key), (chosen, style), (" >", key)]
        return strip([*line, (count, self.look.style("dim", ground))] if y == 0 else [], self.size.width, style)

    def on_click(self, event: events.Click) -> None:
        """A click goes on to the next."""
        event.stop()
        self.action_step(1)

    def on_focus(self) -> None:
        """It looks different with focus."""
        self.refresh()

    def on_blur(self) -> None:
        """It looks different without focus."""
        self.refresh()


class Caption(Widget):
    """The name of a field, before it.

    Args:
        look: colours and glyphs.
        text: the name.
    """

    ALLOW_SELECT = False

    def __init__(self, look: Look, text: str) -> None:
        super().__init__()
        self.look = look
        self.text = text

    def render_line(self, y: int) -> Strip:
        """The line."""
        line = [(self.text, self.look.style("dim"))] if y == 0 else []
        return strip(line, self.size.width, self.look.style("text"))


class Notes(Widget):
    """A few lines of text, as high as it needs.

    Args:
        look: colours and glyphs.
        id: Textual id.
    """

    ALLOW_SELECT = False

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.look = look
        self._notes: list[tuple[str, str, str]] = []

    @property
    def text(self) -> str:
        """All that is shown, for whoever cannot see it."""
        return "\n".join(text for _, text, _ in self._notes)

    def show(self, *notes: tuple[str, str, str]) -> None:
        """Show lines: glyph name (empty for none), text, role."""
        self._notes = list(notes)
        self.refresh(layout=True)

    def _lines(self, width: int) -> list[Line]:
        lines: list[Line] = []
        for sign, text, role in self._notes:
            style = self.look.style(role)
            lead = f"{self.look.glyphs[sign]} " if sign else ""
            for number, part in enumerate(wrapped(self.look.glyphs.text(text), max(8, width - cell_len(lead)))):
                lines.append([(lead if number == 0 else " " * cell_len(lead), style), (part, style)])
        return lines

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many rows as the text needs."""
        del container, viewport
        return len(self._lines(width))

    def render_line(self, y: int) -> Strip:
        """One line."""
        lines = self._lines(self.size.width)
        return strip(lines[y] if y < len(lines) else [], self.size.width, self.look.style("text"))


def duration(seconds: float) -> str:
    """Seconds as people write them: ``0:04``, ``1:02:03``."""
    whole = int(seconds + 0.5)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def common_start(words: list[str]) -> str:
    """What all words begin with."""
    low, high = min(words), max(words)
    size = next((at for at, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return low[:size]
