"""A note at a place, and the list of all marks and notes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.cells import set_cell_size
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from qcow2inspect.tui.dialogs.choice import ChoiceList
from qcow2inspect.tui.dialogs.parts import Dialog, Notes
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.notes import address_of

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from qcow2inspect.tui.app import InspectApp
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["NoteDialog", "NotesDialog"]

_LONGEST = 4096
_NAME = 28


class NoteDialog(Dialog[str | None]):
    """Asks for the words of a note; the result is them, empty to remove it, or None.

    Args:
        look: colours and glyphs.
        address: where it stands.
        text: what it says so far.
    """

    def __init__(self, look: Look, address: str, text: str) -> None:
        super().__init__()
        self.look = look
        self._address = address
        self._text = text
        self.notes = Notes(look)

    def compose(self) -> ComposeResult:
        """One line, and what becomes of it."""
        with Vertical(id="dialog", classes="low"):
            yield Input(self._text, placeholder="your words", id="note", select_on_focus=False, max_length=_LONGEST)
            yield self.notes

    def on_mount(self) -> None:
        """Say where the note stands."""
        self.entitle(self.look.glyphs.text(f"Note at {self._address}"))
        self.offer("Enter keep   Esc close")
        more = "; without words it is removed" if self._text else ""
        self.notes.show(("", f"Notes stand in reports and in the log of the case, if there is one{more}.", "dim"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep it."""
        event.stop()
        self.leave(event.value)

    def action_close(self) -> None:
        """Leave all as it is."""
        self.leave(None)


class NotesDialog(Dialog[Location | None]):
    """All marks and notes; the result is the place of one of them, or None.

    Args:
        session: has them.
        look: colours and glyphs.
    """

    BINDINGS = [Binding("x,delete", "remove", "remove", show=False)]

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__()
        self.session = session
        self.look = look
        self.list: ChoiceList[str] = ChoiceList(look, id="marks")

    def compose(self) -> ComposeResult:
        """The list."""
        with Vertical(id="dialog"):
            yield self.list

    def on_mount(self) -> None:
        """Fill it."""
        self.entitle("Marks and notes")
        self.offer("Enter go there   x remove   Esc close")
        self._fill()

    def _fill(self) -> None:
        session = self.session
        rows = [
            (
                self._row(letter, address_of(session, place), place.state.title if place.guest is not None else ""),
                letter,
            )
            for letter, place in sorted(session.marks.items())
        ]
        rows += [(self._row("", address, note.text), address) for address, note in session.notes.items()]
        self.list.show(rows)

    def _row(self, letter: str, address: str, text: str) -> Line:
        style, glyphs = self.look.style, self.look.glyphs
        width = max(_NAME, len(address) + 2)
        return [
            (f" {letter or glyphs['dot']:<3}", style("key")),
            (set_cell_size(glyphs.text(address), width), style("text" if letter else "title")),
            (glyphs.text(text), style("dim" if letter else "text")),
        ]

    def on_choice_list_chosen(self, message: ChoiceList.Chosen) -> None:
        """Go there."""
        message.stop()
        name = str(message.value)
        note = self.session.notes.get(name)
        self.leave(note.there if note is not None else self.session.marks[name])

    def action_remove(self) -> None:
        """Remove the one under the cursor."""
        if self.list.value is not None:
            cast("InspectApp", self.app).unmark(self.list.value)
            self._fill()
        if not self.session.marks and not self.session.notes:
            self.leave(None)

    def action_close(self) -> None:
        """Stay."""
        self.leave(None)
