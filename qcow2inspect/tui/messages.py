"""What panes tell the screens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from qcow2inspect.layout.node import Node
    from qcow2inspect.tui.location import Location
    from qcow2inspect.units import GuestOffset, HostOffset

__all__ = [
    "ByteChosen",
    "CellChosen",
    "ChainChanged",
    "EdgeReached",
    "FollowAsked",
    "GuestChosen",
    "JumpAsked",
    "NodeChosen",
    "PathAsked",
    "StripChosen",
]


class ByteChosen(Message):
    """The cursor of the hex pane moved to another byte."""

    def __init__(self, offset: HostOffset) -> None:
        super().__init__()
        self.offset = offset


class GuestChosen(Message):
    """The cursor of the guest pane moved to another byte; None if it stays and bytes have come."""

    def __init__(self, offset: GuestOffset | None) -> None:
        super().__init__()
        self.offset = offset


class StripChosen(Message):
    """The user clicked a place of the strip.

    Attributes:
        offset: of the first byte of what is worst there.
        word: what that is.
    """

    def __init__(self, offset: int, word: str) -> None:
        super().__init__()
        self.offset = offset
        self.word = word


class NodeChosen(Message):
    """The cursor of the structure tree moved to another node."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node

    def can_replace(self, message: Message) -> bool:
        """The newest choice counts."""
        return isinstance(message, NodeChosen)


class FollowAsked(Message):
    """The user wants to go where the thing under the cursor points to."""


class JumpAsked(Message):
    """The user wants to see a place."""

    def __init__(self, location: Location) -> None:
        super().__init__()
        self.location = location


class PathAsked(Message):
    """The user wants to see what has this address."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


class EdgeReached(Message):
    """A list that cannot scroll further wants the page around it to scroll.

    Attributes:
        rows: how far; negative is up.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows


class CellChosen(Message):
    """The cursor of the map moved, or the map was zoomed or scrolled."""

    def can_replace(self, message: Message) -> bool:
        """The newest place counts."""
        return isinstance(message, CellChosen)


class ChainChanged(Message):
    """Files were opened, layers unlocked, or another state was chosen: guest bytes may be others now."""
