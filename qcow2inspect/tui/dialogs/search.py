"""Search: what to look for, and the first place where it is, shown behind the dialog while one types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import work
from textual.containers import Vertical
from textual.widgets import Input

from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.dialogs.parts import Dialog, Notes
from qcow2inspect.tui.tasks import searching
from qcow2inspect.tui.tasks.running import ShortProgress
from qcow2inspect.units import exact_size

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.timer import Timer

    from qcow2inspect.image.view import View
    from qcow2inspect.tui.location import Location
    from qcow2inspect.tui.pattern import Pattern
    from qcow2inspect.tui.screens.search import SearchScreen
    from qcow2inspect.tui.tasks.running import Progressed, TaskFailed
    from qcow2inspect.tui.tasks.searching import Searched
    from qcow2inspect.tui.theme import Look

__all__ = ["SearchDialog", "Sought"]

_HELP = (
    'text   "text"   u16:text   u16be:text   hex:51 46 ?? fb   re:[A-Z]{3}[0-9]',
    "be64:0xa80000..0xaaffff   le32:2048   ->  who points here   -> c138",
)
_PAUSE = 0.12
"""Seconds without a key until a search begins."""
_WHILE = 2.0
"""Seconds that a search takes at most while one types."""


@dataclass(frozen=True, slots=True)
class Sought:
    """What shall be looked for.

    Attributes:
        pattern: it.
        there: where it was found already; None if that is to be done.
    """

    pattern: Pattern
    there: Location | None = None


class SearchDialog(Dialog[Sought | None]):
    """Asks what to look for, and looks for it while one types; the result is the pattern and the place, or None.

    Args:
        look: colours and glyphs.
        screen: the screen that is searched; it shows what is found, until it is told to go back.
        last: the pattern of the last search.
    """

    BINDINGS = bindings("typing")

    def __init__(self, look: Look, screen: SearchScreen, last: Pattern | None) -> None:
        super().__init__()
        self.look = look
        self._walk = screen
        self._at = screen.bytes_at
        self._back = screen.stand()
        self._text = last.text if last else ""
        self._pattern: Pattern | None = None
        self._there: Location | None = None
        self._progress: ShortProgress | None = None
        self._pause: Timer | None = None
        self._words: tuple[str, str, str] = ("", "", "")
        self.notes = Notes(look)

    def compose(self) -> ComposeResult:
        """Input and preview."""
        with Vertical(id="dialog", classes="low"):
            yield Input(self._text, placeholder="text or hex:...", id="pattern")
            yield self.notes

    def on_mount(self) -> None:
        """Say what is searched."""
        self.entitle(self.look.glyphs.text(f"Search {self._walk.bytes_name}"))
        down, up = self.look.glyphs["down"], self.look.glyphs["up"]
        self.offer(f"Enter keep   {down} next   {up} previous   Esc back")
        self._read(self._text)

    # -- what is typed ----------------------------------------------------------------------------------------

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what it means, and look for it when no key has come for a while."""
        event.stop()
        if event.value == self._text:  # the last pattern, as the dialog opens
            return
        self._text = event.value
        self._stop()
        self._read(event.value)
        if self._pattern is None:
            self._return()
        elif self._pattern.size > 1:
            self._pause = self.set_timer(_PAUSE, lambda: self._look(self._at, 1))

    def _read(self, text: str) -> None:
        """Find out what a text asks for, and say it."""
        self._pattern, self._there = None, None
        if not text:
            self._say(*(("", line, "dim") for line in _HELP))
            return
        try:
            self._pattern = self._walk.parse_pattern(text)
        except ValueError as error:
            self._say(("no", str(error), "warn"))
            return
        self._words = ("", _shown(self._pattern), "text")
        short = self._pattern.size < 2
        self._say(self._words, *([("", "one byte is nearly everywhere: Enter looks for it", "dim")] if short else []))

    def _say(self, *notes: tuple[str, str, str]) -> None:
        self.notes.show(*notes)

    # -- what is found ----------------------------------------------------------------------------------------

    def _look(self, at: int, step: int) -> None:
        view = self._walk.bytes_view
        if view is None or self._pattern is None:
            return
        self._stop()
        self._progress = ShortProgress("search", self.post_message, _WHILE)
        self._search(view, self._pattern, (at, step), self._progress)

    @work(thread=True, exclusive=True, group="search", exit_on_error=False)
    def _search(self, view: View, pattern: Pattern, way: tuple[int, int], progress: ShortProgress) -> None:
        searching.search(view, pattern, way, progress, self.post_message)

    def on_progressed(self, message: Progressed) -> None:
        """Say how far the search is."""
        message.stop()
        if self._progress is not None and not self._progress.stopped:
            part = f"{100 * message.done // message.total} %" if message.total else ""
            self._say(self._words, ("more", f"searching {part}", "dim"))

    def on_searched(self, message: Searched) -> None:
        """Show the place, if it is still what is meant."""
        message.stop()
        if message.pattern is not self._pattern:
            return
        self._progress = None
        unread = f"; {exact_size(message.unread)} could not be searched" if message.unread else ""
        if message.offset is None:
            self._return()
            self._say(self._words, ("no", f"nowhere in {self._walk.bytes_name}{unread}", "warn"))
            return
        self._there = self._walk.found(message)
        self._walk.preview(self._there)
        again = ("from the start again: " if message.step > 0 else "from the end again: ") if message.wrapped else ""
        self._say(self._words, ("yes", f"{again}{self._walk.words_for(self._there)}{unread}", "good"))

    def on_task_failed(self, message: TaskFailed) -> None:
        """Say why nothing was found."""
        message.stop()
        if message.error is not None:
            self._say(self._words, ("no", str(message.error), "bad"))
        elif self._progress is not None and self._progress.gave_up:
            self._say(self._words, ("more", "not found so far: Enter searches to the end", "dim"))

    def _return(self) -> None:
        self._there = None
        self._back()

    def _stop(self) -> None:
        if self._pause is not None:
            self._pause.stop()
        if self._progress is not None:
            self._progress.stop()
        self._progress = None

    # -- keys -------------------------------------------------------------------------------------------------

    def action_next(self, step: int) -> None:
        """To the next or previous place."""
        if self._pattern is not None:
            self._look(self._at if self._there is None else self._walk.bytes_at, step)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep what was found, or search to the end."""
        event.stop()
        if event.value != self._text or self._pattern is None:  # the message that it has changed is still on its way
            self._text = event.value
            self._read(event.value)
        if self._pattern is not None:
            self._end(Sought(self._pattern, self._there))

    def _end(self, result: Sought | None) -> None:
        self._stop()
        self._back()
        self.leave(result)

    def action_close(self) -> None:
        """Back to where one was."""
        self._end(None)


def _shown(pattern: Pattern) -> str:
    """The bytes of a pattern, in words."""
    if pattern.text.startswith(("->", "re:")) or pattern.shown.endswith("bytes"):
        return pattern.shown
    more = " ..." if len(pattern.shown) > 60 else ""
    zero = "; zero bytes alone match: nothing is passed over" if pattern.is_zero else ""
    return f"{pattern.size} byte{'s' * (pattern.size != 1)}: {pattern.shown[:60]}{more}{zero}"
