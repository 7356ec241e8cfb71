"""A tour of the open image: a few real places of it, with a sentence each.

Pure functions from a session to locations; nothing here knows of widgets.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui.location import ACTIVE, Location
from qcow2inspect.tui.nearby import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.tui.session import Session
    from qcow2inspect.units import GuestOffset

__all__ = ["next_stop", "stops"]

_LOOKED_AT = 4096


def next_stop(session: Session) -> Location:
    """The place after the one where the tour was left, with its sentence as title; after the last, the first."""
    found = list(stops(session))
    number = session.toured % len(found)
    session.toured = number + 1
    place, words = found[number]
    last = " (the end)" if number == len(found) - 1 else ""
    return Location(
        place.offset, place.path, place.size, f"{number + 1}/{len(found)} {words}{last}", place.mode, place.guest
    )


def stops(session: Session) -> Iterator[tuple[Location, str]]:
    """All places of the tour: those that every image has, and those that this one has."""
    called = session.called
    yield Location(mode="overview"), f"The verdict, the facts, the findings. {called('tour')} goes on"
    yield _at(session, "hdr.magic"), "Every byte has a name: these four say that this is qcow2"
    yield _at(session, "hdr.l1_table_offset"), f"A pointer: {called('follow')} follows it, {called('back')} comes back"
    guest = _first_data(session)
    if guest is not None:
        geometry = session.image.geometry
        path = f"L1[{geometry.l1_index(guest)}].L2[{geometry.l2_index(guest)}]"
        yield _at(session, path), "An L2 entry says where a guest cluster lies"
        yield Location(mode="guest", guest=guest), f"The same as the guest sees it; {called('swap')} changes sides"
    yield Location(mode="map"), f"Each cell is a cluster by its owner; {called('bad')} finds trouble"
    finding = next((finding for finding in session.knowledge.findings if finding.evidence), None)
    if finding is not None:
        yield place_of(finding, finding.evidence[0]), f"{finding.code} is proved by these bytes"
    last = f"{called('export')} exports the disk, {called('report')} writes the report, {called('help')} lists all"
    yield Location(mode="overview"), last


def _at(session: Session, path: str) -> Location:
    place = session.place(path)
    return Location(place.offset, place.node.path) if place else Location()


def _first_data(session: Session) -> GuestOffset | None:
    """The first guest byte that a cluster of this file holds, if it comes early; None if none does."""
    try:
        for extent in islice(ACTIVE.view(session.chain).extents(), _LOOKED_AT):
            if extent.host is not None and extent.layer == 0 and extent.error is None:
                return extent.guest.start
    except Qcow2InspectError:
        return None
    return None
