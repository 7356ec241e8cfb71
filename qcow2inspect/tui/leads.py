"""Where the thing at a host offset leads: to what it points to, and to the guest bytes that it holds or maps.

Pure functions from a session and a node to a location, or to the reason in words; nothing here knows of widgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.tui import describe
from qcow2inspect.tui.location import ACTIVE, GuestState, Location
from qcow2inspect.units import GuestOffset

if TYPE_CHECKING:
    from qcow2inspect.layout.node import Node
    from qcow2inspect.tui.session import Session
    from qcow2inspect.units import HostOffset

__all__ = ["guest_location", "state_of", "target_location"]


def target_location(session: Session, node: Node) -> Location | str:
    """Where a pointer leads."""
    if node.target is None and not node.target_path:
        return f"{describe.title(node)} points nowhere{_why_not(node)}"
    place = session.place(node.target_path) if node.target_path else None
    offset = place.offset if place else node.target
    if offset is None or offset >= session.image.end:
        at = f"{offset}" if offset is not None else node.target_path
        return f"{describe.title(node)} points to {at}, which is past the end of the file"
    return Location(offset, place.node.path if place else "")


def guest_location(session: Session, node: Node, offset: HostOffset) -> Location | None:
    """The guest byte that the node itself says it holds or maps; None if it says nothing."""
    if node.guest is None:
        return None
    inside = offset - node.where.start if node.kind == "data" else 0
    return Location(mode="guest", guest=GuestOffset(node.guest.start + inside), state=state_of(session, node.path))


def state_of(session: Session, path: str) -> GuestState:
    """The state of the disk whose tables an address is part of."""
    if not path.startswith("snap["):
        return ACTIVE
    index = int(path[5:].partition("]")[0])
    snapshots = session.image.snapshots
    title = f"snapshot {snapshots[index].title}" if index < len(snapshots) else f"snapshot {index}"
    return GuestState("snapshot", index, title)


def _why_not(node: Node) -> str:
    if node.state in ("unallocated", "zero-plain"):
        return f": it is {node.state}"
    if node.kind in ("data", "compressed", "free"):
        return ": these are data"
    return ""
