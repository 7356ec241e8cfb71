"""What the screens share whose bytes can be searched."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import work

from qcow2inspect.tui.commands import key_of
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.messages import JumpAsked
from qcow2inspect.tui.screens.base import BaseScreen
from qcow2inspect.tui.tasks import searching
from qcow2inspect.tui.tasks.running import Progressed, TaskFailed, TaskProgress
from qcow2inspect.units import HostOffset, exact_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from qcow2inspect.image.view import View
    from qcow2inspect.tui.app import InspectApp
    from qcow2inspect.tui.dialogs.search import Sought
    from qcow2inspect.tui.pattern import Pattern
    from qcow2inspect.tui.tasks.searching import Searched
    from qcow2inspect.tui.widgets.bytespane import BytesPane

__all__ = ["SearchScreen"]


class SearchScreen(BaseScreen):
    """A screen with a cursor on bytes that can be searched."""

    _searching: TaskProgress | None = None
    origin: Location | None = None
    """Where a search that is being typed begins."""

    # -- what subclasses say ----------------------------------------------------------------------------------

    @property
    def bytes_view(self) -> View | None:
        """The bytes that are searched; None if there are none."""
        return None

    @property
    def bytes_at(self) -> int:
        """Offset of the cursor in them."""
        return 0

    @property
    def bytes_name(self) -> str:
        """What they are, in words."""
        return ""

    def place_at(self, offset: int, size: int, title: str) -> Location:
        """The location of ``size`` of these bytes."""
        return Location(HostOffset(offset), size=size, title=title)

    @property
    def pane(self) -> BytesPane | None:
        """The pane of bytes that is selected in; None if there is none."""
        return None

    def key(self, command: str) -> str:
        """The key of one of the commands that all screens with a cursor on bytes have."""
        return key_of(f"{self.SCOPE}.{command}")

    # -- search -----------------------------------------------------------------------------------------------

    def action_search(self) -> None:
        """Ask what to look for."""
        from qcow2inspect.tui.dialogs.search import SearchDialog

        if self.bytes_view is None:
            self.status.say("there is nothing to search")
            return
        self.action_stop()
        self.app.push_screen(SearchDialog(self.look, self, self.session.pattern), self._sought)

    def _sought(self, sought: Sought | None) -> None:
        """Go where it was found while it was typed, or search from here on."""
        self.origin = None
        if sought is None:
            return
        if sought.there is None:
            self._search(sought.pattern, 1)
            return
        self.session.pattern = sought.pattern
        cast("InspectApp", self.app).jump(sought.there)

    def stand(self) -> Callable[[], None]:
        """Remember the place from which is searched; gives what brings the screen back to it."""
        here, pane = self.here, self.pane
        top, marked = (pane.top, pane.marked) if pane is not None else (0, range(0))
        self.origin = here

        def back() -> None:
            if self.here != here or (pane is not None and pane.marked != marked):
                self.arrive(here)
            if pane is not None:
                pane.marked = marked
                pane.scroll_top(top)
                pane.refresh()

        return back

    def preview(self, there: Location) -> None:
        """Show a place above a dialog, and remember nothing of it."""
        self.arrive(there)
        if self.pane is not None and self.pane.cursor > self.pane.top + self.pane.height // 2:
            self.pane.scroll_top(self.pane.cursor - self.pane.height // 8)

    def found(self, message: Searched) -> Location:
        """Where something was found."""
        unread = f"; {exact_size(message.unread)} could not be searched" if message.unread else ""
        wrapped = ("from the start again: " if message.step > 0 else "from the end again: ") if message.wrapped else ""
        keys = f"{self.key('search_on')} next   {self.key('search_back')} previous"
        title = f"{wrapped}{message.pattern.text}{unread}   {keys}"
        return self.place_at(message.offset or 0, message.pattern.size, title)

    def words_for(self, there: Location) -> str:
        """What is at a place, in words."""
        return f"guest {there.guest}"

    def parse_pattern(self, text: str) -> Pattern:
        """What is looked for.

        Raises:
            ValueError: the text asks for nothing that can be searched here.
        """
        from qcow2inspect.tui.pattern import parse_pattern

        if text.startswith("->"):
            raise ValueError("pointers are in the image file: -> searches in Explore")
        return parse_pattern(text)

    def action_search_on(self, step: int) -> None:
        """The same again, onwards or backwards."""
        if self.session.pattern is None:
            self.action_search()
        else:
            self._search(self.session.pattern, step)

    def search_for(self, pattern: Pattern) -> None:
        """Look for something from the cursor on."""
        self._search(pattern, 1)

    def _search(self, pattern: Pattern, step: int) -> None:
        self.session.pattern = pattern
        view = self.bytes_view
        if view is None:
            self.status.say("there is nothing to search")
            return
        self.action_stop()
        self._searching = TaskProgress("search", self.post_message)
        self.status.say(f"searching for {pattern.shown[:40]}", "dim")
        self._run_search(view, pattern, step, self._searching)

    @work(thread=True, exclusive=True, group="search", exit_on_error=False)
    def _run_search(self, view: View, pattern: Pattern, step: int, progress: TaskProgress) -> None:
        searching.search(view, pattern, (self.bytes_at, step), progress, self.post_message)

    def action_stop(self) -> None:
        """Search no further."""
        if self._searching is not None:
            self._searching.stop()

    def on_progressed(self, message: Progressed) -> None:
        """Say how far the search is."""
        message.stop()
        if message.task == "search" and self._searching is not None and not self._searching.stopped:
            part = 100 * message.done // message.total if message.total else 0
            self.status.say(f"{message.what}   {part} %   {self.key('stop')} stops", "dim")

    def on_searched(self, message: Searched) -> None:
        """Go there, or say that it is nowhere."""
        message.stop()
        self._searching = None
        if message.offset is None:
            unread = f"; {exact_size(message.unread)} could not be searched" if message.unread else ""
            self.status.say(f"{message.pattern.shown[:40]} is nowhere in {self.bytes_name}{unread}", "warn")
        elif self.app.screen is self:
            self.post_message(JumpAsked(self.found(message)))

    def on_task_failed(self, message: TaskFailed) -> None:
        """Say why."""
        message.stop()
        if message.task == "search":
            self._searching = None
        if message.task == "strip":
            return  # there is a position marker in its place
        if message.error is not None:
            self.status.say(str(message.error), "bad")
        elif message.task == "search":
            self.status.say("search stopped", "warn")
