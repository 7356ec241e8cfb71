"""The next or previous something: finding, entry of another type, change of type, cluster, mark.

Pure functions from a session and a place to a location; nothing here knows of widgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui.location import Location
from qcow2inspect.units import GuestOffset, HostOffset

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.findings import Evidence, Finding
    from qcow2inspect.image.view import View
    from qcow2inspect.layout.node import Node
    from qcow2inspect.tui.session import Session

__all__ = [
    "NEARBY",
    "in_guest",
    "next_cluster",
    "next_entry",
    "next_finding",
    "next_guest_type",
    "next_mark",
    "on_host",
    "place_of",
]

NEARBY = {
    "f": "finding",
    "e": "entry of another type",
    "t": "change of type",
    "u": "byte that nothing explains",
    "s": "border between states",
    "d": "difference",
    "c": "cluster",
    "m": "mark",
}
"""Key after ``]`` or ``[`` -> what it goes to. A screen offers those of them that it knows."""


def place_of(finding: Finding, evidence: Evidence) -> Location:
    """The bytes that prove a finding."""
    title = f"{finding.severity} {finding.code}: {finding.message}"
    return Location(evidence.where.start, evidence.path, evidence.where.size, title)


def _beyond(offsets: Iterable[tuple[int, Location]], at: int, step: int) -> Location | None:
    """The nearest of these places after (``step`` 1) or before (-1) ``at``."""
    ahead = [(offset, place) for offset, place in offsets if (offset - at) * step > 0]
    key = min(ahead, key=lambda pair: pair[0] * step, default=None)
    return key[1] if key else None


def next_finding(session: Session, at: HostOffset, step: int) -> Location | None:
    """The nearest bytes after or before ``at`` that prove a finding."""
    findings = session.knowledge.findings
    return _beyond(((int(e.where.start), place_of(f, e)) for f in findings for e in f.evidence), at, step)


def next_mark(session: Session, here: Location, step: int) -> Location | None:
    """The nearest mark of the same view."""
    if here.mode in ("guest", "compare"):
        same = (mark for mark in session.marks.values() if (mark.mode, mark.state) == (here.mode, here.state))
        return _beyond(((int(mark.guest or 0), mark) for mark in same), here.guest or 0, step)
    marks = (mark for mark in session.marks.values() if mark.mode == "explore")
    return _beyond(((int(mark.offset), mark) for mark in marks), here.offset, step)


def next_cluster(at: int, cluster: int, end: int, step: int) -> int | None:
    """The start of the next cluster; back to the start of this one, then of the one before."""
    offset = (at // cluster + 1) * cluster if step > 0 else (at - 1) // cluster * cluster
    return offset if 0 <= offset < end else None


def on_host(session: Session, node: Node | None, here: Location, key: str, step: int) -> Location | None:
    """The next or previous thing of the image file that a key of :data:`NEARBY` stands for."""
    match key:
        case "f":
            return next_finding(session, here.offset, step)
        case "m":
            return next_mark(session, here, step)
        case "e":
            return next_entry(session, node, step)
        case "c":
            offset = next_cluster(here.offset, session.image.geometry.cluster_size, session.image.end, step)
        case "t":
            offset = session.host_map().next_change(here.offset, step)
        case "u":
            return _next_unexplained(session, here.offset, step)
        case _:
            offset = session.owners.next_border(here.offset, step) if session.owners is not None else None
    return Location(HostOffset(offset)) if offset is not None else None


def _next_unexplained(session: Session, at: HostOffset, step: int) -> Location | None:
    owners = session.owners
    part = owners.next_unexplained(at, step) if owners is not None else None
    return Location(part.start, "", part.size, owners.at(part.start).words) if owners is not None and part else None


# -- entries ----------------------------------------------------------------------------------------------------


def next_entry(session: Session, node: Node | None, step: int) -> Location | None:
    """The nearest entry of the same L1 or L2 table whose type is another; None if there is none."""
    head, bracket, tail = node.path.rpartition("[") if node is not None else ("", "", "")
    number = tail.partition("]")[0]
    if not bracket or not number.isdecimal():
        return None
    try:
        types = _types(session, head)
    except (Qcow2InspectError, IndexError):
        return None
    index = _change(types, int(number), step) if types is not None else None
    if index is None:
        return None
    place = session.place(f"{head}[{index}]")
    return Location(place.offset, place.node.path) if place else None


def _types(session: Session, table: str) -> npt.NDArray[np.uint8] | None:
    """The types of all entries of the table at an address; None if it has no types."""
    import numpy as np

    from qcow2inspect.format.mapping import L1Entry, classify_column

    owner, _, last = table.rpartition(".")
    prefix = table.removesuffix("L1") if last == "L1" else owner.rpartition("L1[")[0]
    mapping = next((m for m in session.tree.mappings if m.prefix == prefix), None)
    image = session.image
    if mapping is None:
        return None
    if last == "L1":
        stored = max(0, min(len(mapping.l1), (image.end - mapping.l1.at) // 8))
        used: npt.NDArray[np.bool_] = (mapping.l1.column(0, stored) & np.uint64(L1Entry.l2_table_offset.mask)) != 0
        return used.astype(np.uint8)
    if last != "L2":
        return None
    entry = mapping.l1[int(owner.rpartition("[")[2][:-1])]
    words = image.l2_table(entry.l2_table_offset).words()
    return classify_column(words[:, 0], extended_l2=image.geometry.extended_l2, data_file=image.has_data_file)


def _change(types: npt.NDArray[np.uint8], index: int, step: int) -> int | None:
    """The nearest index whose type is not that of ``index``."""
    import numpy as np

    if index >= len(types):
        return None
    rest = types[index:] if step > 0 else types[: index + 1][::-1]
    other = np.flatnonzero(rest != types[index])
    return index + step * int(other[0]) if len(other) else None


# -- guest ------------------------------------------------------------------------------------------------------


def in_guest(session: Session, view: View, here: Location, key: str, step: int) -> Location | None:
    """The next or previous thing of the guest bytes that a key of :data:`NEARBY` stands for."""
    at = here.guest or GuestOffset(0)
    match key:
        case "f":
            return _next_guest_finding(session, here, step)
        case "m":
            return next_mark(session, here, step)
        case "c":
            offset = next_cluster(at, session.image.geometry.cluster_size, view.size, step)
        case "t":
            offset = next_guest_type(view, at, step) if view.size else None
        case _:
            return None
    return Location(mode="guest", guest=GuestOffset(offset), state=here.state) if offset is not None else None


def _next_guest_finding(session: Session, here: Location, step: int) -> Location | None:
    """Guest ranges that findings of the active state name."""

    def place(finding: Finding, guest: GuestOffset) -> Location:
        title = f"{finding.severity} {finding.code}: {finding.message}"
        return Location(title=title, mode="guest", guest=guest, state=here.state)

    findings = session.knowledge.findings if here.state.kind == "active" else ()
    places = ((int(part.start), place(finding, part.start)) for finding in findings for part in finding.guest)
    return _beyond(places, here.guest or 0, step)


def next_guest_type(view: View, at: GuestOffset, step: int) -> GuestOffset | None:
    """Where the next range of another type begins, or the previous one: type, layer and readability count."""
    from qcow2inspect.units import GuestRange

    if step > 0:
        here = _kind(view, at)
        for extent in view.extents(GuestRange(at, GuestOffset(view.size))):
            if (extent.kind, extent.layer, extent.error is None) != here:
                return extent.guest.start
        return None
    return _previous_guest_type(view, at)


def _kind(view: View, at: GuestOffset) -> tuple[object, int, bool]:
    extent = view.lookup(at)
    return extent.kind, extent.layer, extent.error is None


def _previous_guest_type(view: View, at: GuestOffset) -> GuestOffset | None:
    """The start of the stretch of one type that ends before ``at``: looked for in windows, larger and larger."""
    from qcow2inspect.units import GuestRange

    if at <= GuestOffset(0):
        return None
    wanted = _kind(view, GuestOffset(at - 1))
    start, size, end = GuestOffset(at), 64 << 20, GuestOffset(at)
    while end > GuestOffset(0):
        low = GuestOffset(max(0, end - size))
        for extent in reversed(list(view.extents(GuestRange(low, end)))):
            if (extent.kind, extent.layer, extent.error is None) != wanted:
                return start
            start = extent.guest.start
        end, size = low, size * 2
    return start
