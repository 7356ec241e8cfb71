"""What the application does with marks and notes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import work

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui.background import Background
from qcow2inspect.tui.commands import key_of
from qcow2inspect.tui.notes import Note, address_of, keep

if TYPE_CHECKING:
    from qcow2inspect.tui.location import Location
    from qcow2inspect.tui.screens.base import BaseScreen

__all__ = ["Noting"]


class Noting(Background):
    """The part of the inspector that keeps marks and notes."""

    def action_note(self) -> None:
        """Write a note at this place, or change the one that is there."""
        from qcow2inspect.tui.dialogs.notes import NoteDialog

        there = cast("BaseScreen", self.screen_stack[0]).noted
        if there is None:
            self._self.say("there is nothing here that a note could stand at", "dim")
            return
        address = address_of(self.session, there)
        note = self.session.notes.get(address)
        dialog = NoteDialog(self.look, address, note.text if note else "")
        self.push_screen(dialog, lambda text: None if text is None else self.note(there, text))

    def note_here(self, text: str) -> None:
        """Write a note at this place."""
        there = cast("BaseScreen", self.screen_stack[0]).noted
        if there is not None:
            self.note(there, text)

    def note(self, there: Location, text: str) -> None:
        """Write a note at a place; without words, remove it."""
        address, words = address_of(self.session, there), " ".join(text.split())
        if words:
            self.session.notes[address] = Note(there, words)
        elif self.session.notes.pop(address, None) is None:
            return
        said = f"note at {address}: {words}" if words else f"note at {address} removed"
        self._self.say(said, "good")
        self._keep(said)

    def mark(self, letter: str, there: Location) -> None:
        """Give a place a letter."""
        self.session.marks[letter] = there
        self._self.say(f"mark {letter} set; {key_of('explore.to_mark')} {letter} comes back here", "good")
        self._keep(f"mark {letter} at {address_of(self.session, there)}")

    def unmark(self, name: str) -> None:
        """Remove a letter, or the note at an address."""
        if name in self.session.marks:
            del self.session.marks[name]
        else:
            self.session.notes.pop(name, None)
        self._keep(f"{name} removed")

    def action_notes(self) -> None:
        """All marks and notes."""
        from qcow2inspect.tui.dialogs.notes import NotesDialog

        if not self.session.marks and not self.session.notes:
            keys = f"{key_of('explore.mark')} and a letter sets a mark, {key_of('explore.note')} writes a note"
            self._self.say(f"there are no marks and notes: {keys}", "dim")
            return
        self.push_screen(NotesDialog(self.session, self.look), lambda there: self._self.jump(there) if there else None)

    def _keep(self, said: str) -> None:
        if self.session.case is not None:
            self._keep_in_case(said)

    @work(thread=True, group="case", exit_on_error=False)
    def _keep_in_case(self, said: str) -> None:
        from qcow2inspect.source.landlock import write_within

        case = self.session.case
        try:
            if case is not None:
                write_within([case.folder], lambda: keep(self.session, said))
        except (Qcow2InspectError, OSError, ValueError) as error:
            self.call_from_thread(self._self.say, f"the case does not keep it: {error}", "bad")
