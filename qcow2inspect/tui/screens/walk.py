"""What Explore and Guest share: next and previous something, marks, copies."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

from textual import work

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui import copying, nearby
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.messages import JumpAsked, StripChosen
from qcow2inspect.tui.screens.search import SearchScreen
from qcow2inspect.tui.tasks import searching
from qcow2inspect.tui.tasks.running import TaskProgress
from qcow2inspect.tui.widgets.which import WhichKey
from qcow2inspect.units import GuestOffset, GuestRange, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from textual.app import ComposeResult

    from qcow2inspect.layout.node import Node
    from qcow2inspect.tui.app import InspectApp
    from qcow2inspect.tui.comparison import Comparison
    from qcow2inspect.tui.exporting import Order
    from qcow2inspect.tui.location import GuestState
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.mapping import StripMade
    from qcow2inspect.tui.tasks.searching import Placed
    from qcow2inspect.tui.theme import Look

__all__ = ["WalkScreen"]

_WAYS = {1: "next", -1: "previous"}


class WalkScreen(SearchScreen):
    """A screen with a cursor on bytes that can be walked from one thing to the next."""

    NEARBY: ClassVar[str] = "fetdcm"
    """Keys of :data:`~qcow2inspect.tui.nearby.NEARBY` that this screen knows."""
    SLOW: ClassVar[str] = "t"
    """Those of them whose place is looked for in a thread, by :meth:`find_slowly`."""

    _stripping: TaskProgress | None = None

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__(session, look)
        self.which = WhichKey(look)

    def compose(self) -> ComposeResult:
        """What all screens have, and the list of keys."""
        yield from super().compose()
        yield self.which

    # -- what subclasses say ----------------------------------------------------------------------------------

    def counts(self) -> dict[str, str]:
        """Key of :data:`~qcow2inspect.tui.nearby.NEARBY` -> how many there are, in words."""
        comparison = self.session.comparison
        differences = {} if comparison is None else {"d": f"{len(comparison.parts):,}"}
        return {
            "f": f"{len(self.session.knowledge.findings):,}",
            "m": f"{len(self.session.marks)}",
            **differences,
        }

    def find_nearby(self, key: str, step: int) -> Location | None:
        """The next (``step`` 1) or previous (-1) thing that a key stands for."""
        here = self.here
        if key == "f":
            return nearby.next_finding(self.session, here.offset, step)
        if key == "m":
            return nearby.next_mark(self.session, here, step)
        return None

    # -- next and previous ------------------------------------------------------------------------------------

    def action_prefix(self, step: int) -> None:
        """Wait for what to go to."""
        counts = self.counts()
        sign = "]" if step > 0 else "["
        choices = {sign: (f"{_WAYS[step]} entry or field", "")} if "" in counts else {}
        choices |= {key: (f"{_WAYS[step]} {words}", counts.get(key, "")) for key, words in self._nearby.items()}
        self._wait_for_key(f"{sign} {_WAYS[step]}", choices, lambda key: self._go_nearby(key, step))

    @property
    def _nearby(self) -> dict[str, str]:
        return {key: words for key, words in nearby.NEARBY.items() if key in self.NEARBY}

    def _go_nearby(self, key: str, step: int) -> None:
        if key in "[]":
            self.step_field(step)
        elif key == "d":
            self._go_to_difference(step)
        elif key in self.SLOW:
            self._find_in_thread(key, step)
        else:
            self._arrive_nearby(key, step, self.find_nearby(key, step))

    def step_field(self, step: int) -> None:
        """To the next or previous entry or field."""

    # -- differences ------------------------------------------------------------------------------------------

    @property
    def guest_at(self) -> int:
        """Guest offset from which on differences are looked for."""
        return 0

    def place_of_difference(self, offset: int) -> Location:
        """Where a difference is shown."""
        return Location(mode="compare", guest=GuestOffset(offset), state=self.session.state)

    def _go_to_difference(self, step: int) -> None:
        """To the next or previous guest byte that differs between the two disks that are compared."""
        comparison = self.session.comparison
        if comparison is None:
            self.status.say("nothing is compared yet: 6 and then c choose two disks")
            return
        try:
            part = comparison.near(self.guest_at, step)
        except LookupError:
            self.status.say(f"looking for a difference   {self.key('stop')} stops", "dim")
            self._searching = TaskProgress("search", self.post_message)
            self._find_difference_in_thread(comparison, (self.guest_at, step), self._searching)
        else:
            there = self.place_of_difference(int(part.guest.start)) if part is not None else None
            self._arrive_nearby("d", step, there)

    @work(thread=True, exclusive=True, group="find", exit_on_error=False)
    def _find_difference_in_thread(self, comparison: Comparison, way: tuple[int, int], progress: TaskProgress) -> None:
        from qcow2inspect.image.compare import next_difference

        def look() -> Location | None:
            part = next_difference(comparison.a.view, comparison.b.view, *way, progress)
            return self.place_of_difference(int(part.guest.start)) if part is not None else None

        searching.place(look, "d", way[1], self.post_message)

    def _arrive_nearby(self, key: str, step: int, there: Location | None) -> None:
        if there is None:
            self.status.say(f"there is no {_WAYS[step]} {nearby.NEARBY[key]}")
        else:
            cast("InspectApp", self.app).jump(there)  # at once: the next key may ask where we are

    @work(thread=True, exclusive=True, group="find", exit_on_error=False)
    def _find_in_thread(self, key: str, step: int) -> None:
        """Tables may have to be read for it."""
        searching.place(lambda: self.find_slowly(key, step), key, step, self.post_message)

    def find_slowly(self, key: str, step: int) -> Location | None:
        """Like :meth:`find_nearby`, called in a thread."""
        del key, step
        return None

    def on_placed(self, message: Placed) -> None:
        """Go there."""
        message.stop()
        if self.app.screen is self:
            self._arrive_nearby(message.key, message.step, message.location)

    # -- marks ------------------------------------------------------------------------------------------------

    def action_mark(self) -> None:
        """Give this place a letter."""
        if self.noted is None:
            self.status.say("there is nothing here that could have a letter")
            return
        self._ask_letter("Mark this place: a letter", self._set_mark, letters=True)

    def _set_mark(self, letter: str) -> None:
        if self.noted is not None:
            cast("InspectApp", self.app).mark(letter, self.noted)

    def action_to_mark(self) -> None:
        """Go to a place that has a letter."""
        if not self.session.marks:
            self.status.say(f"there are no marks; {self.key('mark')} and a letter set one")
            return
        self._ask_letter("Go to a mark", lambda letter: self.to_mark(self.session.marks[letter]))

    def to_mark(self, mark: Location) -> None:
        """Go to a place that has a letter."""
        self.post_message(JumpAsked(mark))

    def _ask_letter(self, title: str, then: Callable[[str], object], *, letters: bool = False) -> None:
        choices = {letter: _mark_words(mark) for letter, mark in sorted(self.session.marks.items())}
        self._wait_for_key(title, choices, then, letters=letters)

    def _wait_for_key(
        self,
        title: str,
        choices: Mapping[str, tuple[str, str]],
        then: Callable[[str], object],
        *,
        letters: bool = False,
    ) -> None:
        """Take the next key, however fast it comes; the list of what it may be is only a help."""

        def take(key: str) -> None:
            self.which.display = False
            if key in choices or (letters and len(key) == 1 and key.isalpha()):
                then(key)

        cast("InspectApp", self.app).next_key = take
        self.which.show(title, choices)

    # -- the strip --------------------------------------------------------------------------------------------

    def work_on_strip(self, progress: TaskProgress) -> None:
        """Sum up what the strip beside the bytes shows; called in a thread."""

    def begin_strip(self) -> None:
        """Make the strip, once the tables were read: until then the bytes have a position marker."""
        if self._stripping is not None:
            self._stripping.stop()
        if self.pane is not None and self.session.knowledge.surveyed:
            self._stripping = TaskProgress("strip", lambda message: None)
            self._make_strip(self._stripping)

    @work(thread=True, exclusive=True, group="strip", exit_on_error=False)
    def _make_strip(self, progress: TaskProgress) -> None:
        self.work_on_strip(progress)

    def on_strip_made(self, message: StripMade) -> None:
        """Show it, if it is still wanted."""
        message.stop()
        if self.pane is not None and message.by is self._stripping:
            self.pane.show_strip(message.strip)

    def on_strip_chosen(self, message: StripChosen) -> None:
        """Go there; the way back is remembered."""
        message.stop()
        self.post_message(JumpAsked(replace(self.place_at(message.offset, 0, message.word), size=None)))

    def on_unmount(self) -> None:
        """Nobody wants it any more."""
        if self._stripping is not None:
            self._stripping.stop()

    # -- select and copy --------------------------------------------------------------------------------------

    def action_select(self) -> None:
        """Begin to select bytes, or end it."""
        pane = self.pane
        if pane is None:
            return
        pane.select_from(None if pane.began is not None else pane.at)
        words = f"selecting: move, {self.key('copy')} copies, {self.key('select')} ends it"
        self.status.say(words if pane.began is not None else "", "note")

    def action_copy(self) -> None:
        """Ask in which form the selection, or the field under the cursor, shall be copied."""
        what = self._copied()
        if what is None:
            self.status.say("there are no bytes that can be copied")
            return
        choices = {key: (words, "") for key, words in copying.FORMS.items()}
        title = f"{self.key('copy')} copy {counted(len(what.data), 'byte')} as"
        self._wait_for_key(title, choices, lambda form: self._copy(form, what))

    def _copied(self) -> copying.Copied | None:
        pane, view = self.pane, self.bytes_view
        if pane is None or view is None or not pane.byte_count:
            return None
        part = pane.chosen or pane.selected or range(pane.at, pane.at + 1)
        try:
            data = view.read_at(part.start, min(len(part), copying.MOST)) if part.start < view.size else b""
        except Qcow2InspectError:
            return None
        return self.copied(data, part) if data else None

    def copied(self, data: bytes, part: range) -> copying.Copied:
        """Bytes, and what they are."""
        there = self.place_at(part.start, 0, "")
        ident = self.ident_of(there.state)
        return copying.Copied(data, there, self.session.image.name, ident, self.field_at(part))

    def ident_of(self, state: GuestState) -> str:
        """The id of the snapshot that a state belongs to; empty for none."""
        snapshots = self.session.image.snapshots
        in_snapshot = state.kind in ("snapshot", "vm-state") and state.index < len(snapshots)
        return os.fsdecode(snapshots[state.index].id) if in_snapshot else ""

    def field_at(self, part: range) -> Node | None:
        """The field that these bytes are; None if they are none."""
        del part
        return None

    def _copy(self, form: str, what: copying.Copied) -> None:
        text = copying.copied_as(form, what)
        self.app.copy_to_clipboard(text)
        if self.pane is not None:
            self.pane.select_from(None)
        brief = " ".join(text.split())
        self.status.say(f"copied as {copying.FORMS[form].partition(',')[0]}: {brief[:60]}", "good")

    # -- write ------------------------------------------------------------------------------------------------

    def action_write(self, target: str = "") -> None:
        """Ask where to write the selection, or the structure under the cursor."""
        order = self.order(target)
        if order is None:
            self.status.say(f"{self.key('select')} selects the bytes that shall be written")
            return
        from qcow2inspect.tui.dialogs.write import WriteDialog

        self.app.push_screen(WriteDialog(self.session, self.look, order), self._write)

    def _write(self, order: Order | None) -> None:
        if order is not None and self.pane is not None:
            self.pane.select_from(None)
        cast("InspectApp", self.app).queue_export(order)

    def order(self, target: str) -> Order | None:
        """What is written to a file: the selection, or what a finding or a search has marked; None if nothing is."""
        from qcow2inspect.export.choices import Choices
        from qcow2inspect.tui.exporting import Order

        pane = self.pane
        part = (pane.chosen or pane.marked) if pane is not None else range(0)
        if not part:
            return None
        within = GuestRange(GuestOffset(part.start), GuestOffset(part.stop))
        return Order(self.session.state, target, Choices(hashes=("sha256",), verify=True, within=within))


def _mark_words(mark: Location) -> tuple[str, str]:
    if mark.mode in ("guest", "compare"):
        return f"guest {mark.guest}", mark.state.title
    return f"host {mark.offset}", mark.path
