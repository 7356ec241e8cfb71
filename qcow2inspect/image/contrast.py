"""Where two mappings differ, and two sets of fields: what can be compared without a look at guest bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qcow2inspect.image.compare import pairs
from qcow2inspect.image.image import Image
from qcow2inspect.image.parts import Part, Relation
from qcow2inspect.image.tree import Tree
from qcow2inspect.layout.node import no_children
from qcow2inspect.layout.structure import printable
from qcow2inspect.progress import Silent
from qcow2inspect.units import GuestRange, exact_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from qcow2inspect.image.chain import AnyImage, Chain
    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.layout.node import Node
    from qcow2inspect.progress import Progress

__all__ = ["FieldPair", "compare_fields", "compare_mappings", "header_fields", "state_fields"]

_MOST_FIELDS = 4096
_STEP = 1024


# -- mapping ----------------------------------------------------------------------------------------------------


def compare_mappings(a: View, b: View, progress: Progress | None = None) -> Iterator[Part]:
    """The parts of two views whose mapping is the same or not: type of the clusters, host offset, supplying layer.

    No guest byte is read: the same bytes may well lie in different places, and different ones in the same.

    Raises:
        Cancelled: the user asked to stop.
    """
    progress = progress or Silent()
    whole = GuestRange.at(0, max(a.size, b.size))
    progress.begin("Comparing the mappings", whole.size)
    held: Part | None = None
    for number, pair in enumerate(pairs(a, b, whole, progress)):
        same = _mapped(pair.a) == _mapped(pair.b)
        part = replace(pair, relation=Relation.SAME if same else Relation.DIFFERENT)
        if number % _STEP == 0:
            progress.advance(0)
        if held is not None and _kinds(held) == _kinds(part):
            held = replace(held, guest=GuestRange(held.guest.start, part.guest.end))
            continue
        if held is not None:
            progress.advance(held.guest.size)
            yield held
        held = part
    if held is not None:
        progress.advance(held.guest.size)
        yield held


def _mapped(extent: Extent | None) -> object:
    if extent is None:
        return None
    return (extent.kind, extent.layer, extent.host.start if extent.host else None, extent.past_end, extent.absent)


def _kinds(part: Part) -> object:
    sides = [None if side is None else (side.kind, side.layer, side.host is None) for side in (part.a, part.b)]
    return (part.relation, *sides, part.missing)


# -- fields -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldPair:
    """One field as both sides have it.

    Attributes:
        name: its address (``hdr.size``), or what it is.
        a: the value on the first side; empty if it has no such field.
        b: the value on the second side.
    """

    name: str
    a: str
    b: str

    @property
    def is_same(self) -> bool:
        """True if both sides show the same value."""
        return self.a == self.b


def compare_fields(a: Mapping[str, str], b: Mapping[str, str]) -> list[FieldPair]:
    """The fields of both sides, in the order of the first; those that only the second has come last."""
    return [FieldPair(name, a.get(name, ""), b.get(name, "")) for name in dict.fromkeys((*a, *b))]


def header_fields(image: AnyImage) -> dict[str, str]:
    """Header, header extensions and snapshot table: address of each field -> its value for people."""
    if not isinstance(image, Image):
        return {f"hdr.{name}": str(value) for name, value in vars(image.header).items()}
    wanted = [node for node in Tree(image).top if node.path in ("hdr", "ext", "snap")]
    found: dict[str, str] = {}
    for node in _leaves(wanted):
        if len(found) >= _MOST_FIELDS:
            break
        found[node.path] = node.shown
    return found


def _leaves(nodes: Iterable[Node]) -> Iterator[Node]:
    """Nodes with a value, top down; tables have a line of their own and are not entered."""
    waiting = list(nodes)[::-1]
    while waiting:
        node = waiting.pop()
        if node.shown and node.path not in ("hdr", "ext", "snap"):
            yield node
        if node.children is not no_children and node.kind not in ("l1", "l2", "data"):
            waiting += list(node.children())[::-1]


def state_fields(chain: Chain, snapshot: str | int | None) -> dict[str, str]:
    """What two states of one image may have different: where the L1 table is, how large the disk, when it was saved.

    Raises:
        BadAddress: there is no such snapshot.
        Unsupported: the image is of version 1.
    """
    mapping = chain.mapping(snapshot)
    fields = {
        "disk size": exact_size(mapping.size),
        "L1 table offset": str(mapping.l1.at),
        "L1 entries": f"{len(mapping.l1):,}",
    }
    if mapping.snapshot is None:
        return fields
    entry = mapping.snapshot.entry
    return fields | {
        "id": printable(mapping.snapshot.id),
        "name": printable(mapping.snapshot.name),
        "date_sec": f"{entry.date_sec}",
        "vm_clock_nsec": f"{entry.vm_clock_nsec:,}",
        "VM state": exact_size(mapping.snapshot.vm_state_size),
    }
