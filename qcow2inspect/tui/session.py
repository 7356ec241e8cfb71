"""One open image, what is known about it, and where the user is: the state that all screens share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.image.tree import Tree
from qcow2inspect.tui.location import History, Location
from qcow2inspect.tui.messages import Knowledge

if TYPE_CHECKING:
    from qcow2inspect.image.address import Place
    from qcow2inspect.image.image import Image
    from qcow2inspect.layout.node import Node
    from qcow2inspect.units import HostOffset

__all__ = ["Session", "first_knowledge"]


@dataclass
class Session:
    """The state of one inspection.

    Attributes:
        image: the open image.
        tree: its structure.
        knowledge: what is known so far.
        history: where the user has been.
        here: where the user is.
        indexed: True once any byte can be named at once; until then only those of the first cluster.
        changed: True once the image file was seen to change.
        done: what was written during the session, for the summary on leaving.
    """

    image: Image
    tree: Tree
    knowledge: Knowledge
    history: History = field(default_factory=History)
    here: Location = field(default_factory=lambda: Location(mode="overview"))
    indexed: bool = False
    changed: bool = False
    done: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, image: Image) -> Session:
        """The session of an image, with what its header alone tells."""
        return cls(image, Tree(image), first_knowledge(image))

    def locate(self, offset: HostOffset) -> Node | None:
        """The innermost node at a host offset; None while the tables are not indexed, or cannot be read."""
        if not self.indexed and offset >= self.image.geometry.cluster_size:
            return None
        try:
            return self.tree.locate(offset)
        except Qcow2InspectError:
            return None

    def node_at(self, offset: HostOffset, anchor: Node | None) -> Node | None:
        """The node at ``offset`` as seen from ``anchor``, the node that the user came by.

        A table that two states share belongs to the state by which it was reached; a data cluster keeps the
        guest range of the entry that led to it.
        """
        if anchor is None or offset not in anchor.where:
            return self.locate(offset)
        if anchor.kind in ("data", "compressed") and anchor.guest is not None:
            return anchor
        last = anchor.path.rpartition(".")[2]
        stride = {"L1": 8, "L2": self.image.geometry.l2_entry_size}.get(last)
        if stride is None:
            return self.locate(offset)
        place = self.place(f"{anchor.path}[{(offset - anchor.where.start) // stride}]")
        return place.node if place else self.locate(offset)

    def place(self, path: str) -> Place | None:
        """Where an address leads; None if nowhere, or if it cannot be read."""
        from qcow2inspect.image.address import resolve

        try:
            return resolve(self.tree, path)
        except (ValueError, Qcow2InspectError):
            return None


def first_knowledge(image: Image) -> Knowledge:
    """What the header alone tells: no table is read, and no rule is imported before the first paint."""
    from qcow2inspect.dossier import compile_dossier

    return Knowledge(compile_dossier(image, None, ()), ())
