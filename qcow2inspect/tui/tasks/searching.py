"""Looks for places: by address, by what lies there, by pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.progress import Cancelled
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.tasks.running import guarded
from qcow2inspect.units import GuestOffset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.survey.ownership import Mapped
    from qcow2inspect.tui.location import GuestState
    from qcow2inspect.tui.pattern import Pattern
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.running import TaskProgress
    from qcow2inspect.units import HostOffset

__all__ = [
    "GuestFound",
    "MappedFound",
    "Placed",
    "ResiduesFound",
    "Resolved",
    "Searched",
    "find_guest",
    "find_residues",
    "guest_at",
    "look_up",
    "mapped",
    "place",
    "search",
]


class Resolved(Message):
    """An address was looked up.

    Attributes:
        text: the address as typed.
        location: where it leads; None if it leads nowhere.
        problem: why not; empty if it does.
    """

    def __init__(self, text: str, location: Location | None, problem: str) -> None:
        super().__init__()
        self.text = text
        self.location = location
        self.problem = problem


class GuestFound(Message):
    """The guest byte was looked for that lies at a host offset.

    Attributes:
        location: where it is; None if no state of the disk has it.
    """

    def __init__(self, location: Location | None) -> None:
        super().__init__()
        self.location = location


class ResiduesFound(Message):
    """All bytes that no guest sees were looked for.

    Attributes:
        states: one for each kind that there is.
    """

    def __init__(self, states: tuple[GuestState, ...]) -> None:
        super().__init__()
        self.states = states


class Placed(Message):
    """The next or previous place of a kind was looked for.

    Attributes:
        location: where it is; None if there is none.
        key: its kind, as a key of :data:`~qcow2inspect.tui.nearby.NEARBY`.
        step: 1 for the next, -1 for the previous.
    """

    def __init__(self, location: Location | None, key: str, step: int) -> None:
        super().__init__()
        self.location = location
        self.key = key
        self.step = step


class MappedFound(Message):
    """The L2 entries were looked for that lead to a host byte.

    Attributes:
        offset: the host byte.
        mapped: the entries, at most four.
    """

    def __init__(self, offset: HostOffset, mapped: Sequence[Mapped]) -> None:
        super().__init__()
        self.offset = offset
        self.mapped = mapped


class Searched(Message):
    """A search has ended.

    Attributes:
        pattern: what was looked for.
        offset: where it is; None if it is nowhere.
        step: 1 if it was looked for onwards, -1 backwards.
        wrapped: True if it was found beyond the end, where the search began again.
        unread: bytes that could not be searched.
    """

    def __init__(self, pattern: Pattern, offset: int | None, step: int, *, wrapped: bool, unread: int) -> None:
        super().__init__()
        self.pattern = pattern
        self.offset = offset
        self.step = step
        self.wrapped = wrapped
        self.unread = unread


def look_up(session: Session, text: str, here: Location, post: Callable[[Message], object]) -> None:
    """Find out where an address leads."""
    from qcow2inspect.tui.places import parse_place

    try:
        post(Resolved(text, parse_place(session, text, here), ""))
    except (ValueError, Qcow2InspectError) as error:
        post(Resolved(text, None, str(error)))


def find_guest(
    chain: Chain, offset: HostOffset, is_stopped: Callable[[], bool], post: Callable[[Message], object]
) -> None:
    """Look for the guest byte that lies at a host offset: in the active state, then in the snapshots."""

    def work() -> Message:
        from qcow2inspect.tui.states import states_of

        for state in states_of(chain):
            if state.kind in ("active", "snapshot"):
                guest = guest_at(state.view(chain).extents(), offset, is_stopped)
                if guest is not None:
                    return GuestFound(Location(offset, mode="guest", guest=guest, state=state))
        return GuestFound(None)

    guarded("find", post, work)


def guest_at(extents: Iterable[Extent], offset: HostOffset, is_stopped: Callable[[], bool]) -> GuestOffset | None:
    """The guest byte that lies at a host offset of the image file; None if these extents have none.

    Raises:
        Cancelled: the user asked to stop.
    """
    for number, extent in enumerate(extents):
        if number % 256 == 0 and is_stopped():
            raise Cancelled
        if extent.layer == 0 and extent.host is not None and offset in extent.host:
            inside = 0 if extent.kind.word == "compressed" else offset - extent.host.start
            return GuestOffset(extent.guest.start + inside)
    return None


def find_residues(session: Session, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Look for all bytes of the image file that no guest sees; every compressed cluster is inflated for it."""

    def work() -> Message:
        from qcow2inspect.survey.deep import look_deep
        from qcow2inspect.survey.survey import take_survey
        from qcow2inspect.tui.states import residue_states

        survey = session.knowledge.survey or take_survey(session.image, progress)
        return ResiduesFound(tuple(residue_states(look_deep(survey, progress).residues)))

    guarded("residues", post, work)


def place(look: Callable[[], Location | None], key: str, step: int, post: Callable[[Message], object]) -> None:
    """Look for the next or previous place of a kind."""
    guarded("find", post, lambda: Placed(look(), key, step))


def mapped(session: Session, offset: HostOffset, post: Callable[[Message], object]) -> None:
    """Find the entries that lead to a host byte."""
    owners = session.owners
    if owners is not None:
        guarded("mapped", post, lambda: MappedFound(offset, owners.mapped(offset)))


def search(
    view: View, pattern: Pattern, way: tuple[int, int], progress: TaskProgress, post: Callable[[Message], object]
) -> None:
    """Look for a pattern: from the byte after the cursor to the end, then from the start; or backwards.

    Args:
        view: the bytes.
        pattern: what to look for.
        way: offset of the cursor, and 1 or -1.
        progress: may ask to stop.
        post: takes the result.
    """

    def work() -> Message:
        from qcow2inspect.tui.search import find

        at, step = way
        parts = [(at + 1, view.size), (0, at + 1)] if step > 0 else [(0, at), (at, view.size)]
        unread = 0
        for number, (start, end) in enumerate(parts):
            hit = find(view, pattern, start, end, backward=step < 0, progress=progress)
            unread += hit.unread
            if hit.offset is not None:
                return Searched(pattern, hit.offset, step, wrapped=bool(number), unread=unread)
        return Searched(pattern, None, step, wrapped=False, unread=unread)

    guarded("search", post, work)
