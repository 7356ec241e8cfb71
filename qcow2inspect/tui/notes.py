"""Marks and notes: letters and words at places, kept in a case and found again when it is opened. No widgets here."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qcow2inspect.tui.location import Location
    from qcow2inspect.tui.session import Session

__all__ = ["Note", "address_of", "keep", "marks_of", "recall"]

_LETTER = re.compile(r"mark (\w)(?:,|$)")
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class Note:
    """Words at a place.

    Attributes:
        there: the place.
        text: the words.
    """

    there: Location
    text: str


def address_of(session: Session, there: Location) -> str:
    """What is written down for a place: an address that leads there again."""
    from qcow2inspect.tui.places import text_of

    try:
        return text_of(session, there)
    except (ValueError, Qcow2InspectError):
        return there.path or f"{int(there.offset):#x}"


def marks_of(session: Session) -> tuple[tuple[str, str], ...]:
    """Address and words of every mark and note; kept ones of the case first."""
    kept = session.case.marks if session.case is not None else ()
    new = [(address_of(session, place), _words(letter, place)) for letter, place in sorted(session.marks.items())]
    new += [(address, note.text) for address, note in session.notes.items()]
    return (*kept, *(mark for mark in new if mark not in kept))


def _words(letter: str, place: Location) -> str:
    where = place.state.title if place.mode in ("guest", "compare") else f"{int(place.offset):#x}"
    return f"mark {letter}, {where}"


def recall(session: Session) -> None:
    """Give the places that a case keeps their letters and notes again; called in a thread, for tables may be read."""
    from qcow2inspect.tui.places import parse_place

    if session.case is None or session.recalled:
        return
    session.recalled = True
    marks: dict[str, Location] = {}
    notes: dict[str, Note] = {}
    for address, words in session.case.marks:
        try:
            there = parse_place(session, address)
        except (ValueError, Qcow2InspectError):
            continue  # another image has it, or the report alone shall show it
        letter = _LETTER.match(words)
        if letter is not None:
            marks[letter[1]] = there
        else:
            before = f"{notes[address].text}; " if address in notes else ""
            notes[address] = Note(there, before + words)
    session.marks, session.notes = marks | session.marks, notes | session.notes


def keep(session: Session, said: str) -> None:
    """Have the case know the marks and notes as they are now; called in a thread.

    Args:
        session: its case, marks and notes.
        said: what was changed, for the log of the case.
    """
    from qcow2inspect.case.folder import moment_facts
    from qcow2inspect.dossier.wishes import report_time

    case = session.case
    if case is None:
        return
    with _one_at_a_time:
        recall(session)  # else what is not recalled yet would look as if it were removed
        current = [(address_of(session, place), _words(letter, place)) for letter, place in session.marks.items()]
        current += [(address, note.text) for address, note in session.notes.items()]
        case.forget(_outdated(session, case.marks, set(current)))
        case.remember((), current)
        words = ["note", session.image.name, said]
        case.record(words, image=None, outputs=(), facts=moment_facts(0, words, int(report_time())))


def _outdated(
    session: Session, kept: Iterable[tuple[str, str]], current: set[tuple[str, str]]
) -> list[tuple[str, str]]:
    """What the case keeps and the user has moved, changed or removed; places that were not found again stay."""
    from qcow2inspect.tui.places import parse_place

    found = []
    for address, words in kept:
        try:
            parse_place(session, address)
        except (ValueError, Qcow2InspectError):
            continue
        if (address, words) not in current:
            found.append((address, words))
    return found
