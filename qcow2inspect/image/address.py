"""Addresses: one small language for goto, the hexdump verb, links between screens and the image writer.

==========================  =====================================================================
``0x8a0000`` ``9043968``    host offset; also ``8a0000h``, ``64K``, ``1MiB``
``c138`` ``s4096`` ``$``    host cluster, host sector, the last byte of the file
``G0x40000000`` ``G1GiB``   guest offset: where its bytes lie, or the entry that says there are none
``Gc5`` ``Gs2097152``       guest cluster, guest sector
``hdr.l1_size``             header field; ``ext[0].length``, ``backing``, ``luks.slot[0]``
``L1[2]`` ``L1[2].copied``  L1 entry, one of its bit fields
``L1[2].L2`` ``L1[2].L2[0]``  L2 table, L2 entry; ``.data`` what it points to
``rt[0]`` ``rb[0]``         refcount table entry, refcount block
``ref[168]``                refcount of a host cluster; ``L1[2].L2[0].data.ref`` that of a node
``snap[0].L1[2]``           the same in a snapshot; ``bitmap[0].table[3]``
``... + 0x40`` ``- 2c``     further or back; :mod:`~qcow2inspect.image.arithmetic` says what can be written
``(3 << 16) + 8``           a host offset that is worked out
``+0x40`` ``-1s`` ``.``     from where one is; ``.`` is there itself
==========================  =====================================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from qcow2inspect.errors import BadAddress
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.image.arithmetic import evaluate, number
from qcow2inspect.units import GuestOffset, HostOffset, HostRange

if TYPE_CHECKING:
    from qcow2inspect.image.tree import Mapping, Tree
    from qcow2inspect.image.view import HostParts
    from qcow2inspect.layout.node import Node

__all__ = ["Place", "bytes_at", "resolve"]

Step: TypeAlias = tuple[str | None, int | None]
"""A name and an index of an address, either of which may be missing."""

_LAST = (1 << 64) - 1
_STEP = re.compile(r"\.?([A-Za-z_][A-Za-z_0-9]*)?(?:\[(\w+)\])?")
_BASE = re.compile(r"\s*([^\s+\-*/%<>&|()]+)\s*([+-].*)?", re.DOTALL)
_EXAMPLES = "try 0x30000, c3, G0x10000, hdr.size, L1[0].L2[5].data, rt[0], ref[4] or snap[0]"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address leads.

    Attributes:
        offset: host offset.
        node: the innermost named range there.
    """

    offset: HostOffset
    node: Node


def resolve(tree: Tree, text: str, here: HostOffset | None = None) -> Place:
    """Where the address ``text`` leads in an image.

    Args:
        tree: the structure of the image.
        text: the address.
        here: where one is, for addresses that count from there; None if one is nowhere.

    Raises:
        BadAddress: the text is no address, or nothing in this image has it; the message says what is possible.
    """
    text = text.strip()
    if not text:
        raise BadAddress(f"an address is missing: {_EXAMPLES}")
    if text[0] in "+-." and here is not None:
        return _host(tree, _checked(here + _value(tree, text.removeprefix(".") or "+0"), text))
    value = evaluate(text, tree.image.geometry.cluster_size)
    if value is not None:
        return _host(tree, _checked(value, text))
    found = _BASE.fullmatch(text)
    if found is None:
        raise BadAddress(f"“{text}” is no address: {_EXAMPLES}")
    place = _base(tree, found[1])
    if not found[2]:
        return place
    return _inside(tree, place.node, _checked(place.offset + _value(tree, found[2]), text))


def bytes_at(tree: Tree, text: str, size: int | None = None) -> HostParts:
    """The bytes of the image file at an address, to be looked at, hashed or written.

    Args:
        tree: the structure of the image.
        text: the address.
        size: how many; without it those of the named range, from the address on.

    Raises:
        BadAddress: the text is no address, or no byte of the file lies there.
    """
    from qcow2inspect.image.view import HostParts

    place, end = resolve(tree, text), tree.image.end
    part = HostRange.at(place.offset, max(0, place.node.where.end - place.offset) if size is None else size)
    if not part.size or part.start >= end or (size is not None and part.end > end):
        raise BadAddress(f"{text}: {part.size:,} bytes from {part.start} on do not lie in the file of {end:,} bytes")
    part = HostRange(part.start, HostOffset(min(part.end, end)))
    name = f"{text}, host bytes {part.start} to {part.end} (not included) of {tree.image.name}"
    return HostParts(tree.image.source, [part], name, tree.image.assumed)


def _value(tree: Tree, text: str) -> int:
    """What a sum amounts to that begins with a sign."""
    value = evaluate(text, tree.image.geometry.cluster_size)
    if value is None:
        raise BadAddress(f"“{text}” is no number of bytes: write + 0x40, - 2c, + 8*3 or + 1s")
    return value


def _checked(offset: int, text: str) -> int:
    if not 0 <= offset <= _LAST:
        raise BadAddress(f"{text} is {offset:#x}, which is no offset")
    return offset


def _inside(tree: Tree, node: Node, offset: int) -> Place:
    """The byte at ``offset`` as seen from a node: a part of it if it lies there, else what is there.

    A table or a cluster that two states share belongs to the state by whose address it was reached.
    """
    table = node.path.rpartition(".")[2]
    if HostOffset(offset) in node.where:
        if table in ("L1", "L2"):
            stride = 8 if table == "L1" else tree.image.geometry.l2_entry_size
            return Place(
                HostOffset(offset), _structure(tree, f"{node.path}[{(offset - int(node.where.start)) // stride}]")
            )
        is_entry = node.kind in ("l1", "l2", "data", "compressed") and bool(node.guest)
        if is_entry or node.bits is not None or node.path.endswith(".data"):
            return Place(HostOffset(offset), node)
    return _host(tree, offset)


def _base(tree: Tree, text: str) -> Place:
    first, rest = text[0], text[1:]
    cluster = tree.image.geometry.cluster_size
    if text == "$":
        return _host(tree, max(0, tree.image.end - 1))
    if first in "cC" and (count := _number(tree, rest)) is not None:
        if count * cluster > _LAST:
            raise BadAddress(f"host cluster {count:,} is beyond any 64-bit offset")
        return _whole(tree.cluster(count))
    if first in "sS" and (count := _number(tree, rest)) is not None:
        return _host(tree, _checked(count * SECTOR, text))
    if first in "gG" and rest:
        units = {"c": cluster, "s": SECTOR}.get(rest[0].lower(), 1)
        count = _number(tree, rest if units == 1 else rest[1:])
        if count is not None:
            return _guest(tree, count * units)
    return _whole(_structure(tree, text))


def _number(tree: Tree, text: str) -> int | None:
    found = number(text, tree.image.geometry.cluster_size)
    if found is not None and found > _LAST:
        raise BadAddress(f"{text[:80]} is beyond any 64-bit offset")
    return found


def _host(tree: Tree, offset: int) -> Place:
    return Place(HostOffset(offset), tree.locate(HostOffset(offset)))


def _whole(node: Node) -> Place:
    return Place(node.where.start, node)


def _guest(tree: Tree, offset: int) -> Place:
    mapping, geometry = tree.active, tree.image.geometry
    if offset >= mapping.size:
        raise BadAddress(f"guest offset {offset:#x} is not on the disk, which ends at {mapping.size:#x}")
    guest = GuestOffset(offset)
    if geometry.l1_index(guest) >= len(mapping.l1):
        raise BadAddress(f"guest offset {offset:#x} has no L1 entry: the table has {len(mapping.l1):,}")
    entry = tree.mapped(mapping).l1_entry(geometry.l1_index(guest))
    if not entry.target_path:
        return _whole(entry)
    node = tree.mapped(mapping).l2_entry(geometry.l1_index(guest), geometry.l2_index(guest))
    if node.target is None or node.guest is None:
        return _whole(node)
    data = node.children()[-1]
    inside = guest - node.guest.start if data.kind == "data" else 0
    return Place(HostOffset(node.target + inside), data)


def _structure(tree: Tree, text: str) -> Node:
    """Walk an address of names and indices, step by step, from the top of the tree."""
    steps = _steps(tree, text)
    name, index = steps[0]
    start = _STARTS.get(name or "")
    if start is not None and (index is not None or name == "L1"):
        return _descend(*start(tree, steps), text)
    for node in tree.top:
        if node.path == name:
            return _descend(node, [(None, index), *steps[1:]] if index is not None else steps[1:], text)
    raise BadAddress(f"“{text}” is no address: {_EXAMPLES}")


def _steps(tree: Tree, text: str) -> list[Step]:
    """``L1[2].copied`` -> ``[("L1", 2), ("copied", None)]``."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if not found or found.end() == at or not (found[1] or found[2]):
            raise BadAddress(f"“{text}” is no address: {_EXAMPLES}")
        index = None
        if found[2] is not None:
            index = _number(tree, found[2])
            if index is None:
                raise BadAddress(f"“{found[2]}” in “{text}” is no index; write a number, as in L1[2]")
        steps.append((found[1], index))
        at = found.end()
    return steps


def _snapshot(tree: Tree, steps: list[Step]) -> tuple[Node, list[Step]]:
    index = _index(steps, len(tree.image.snapshots), "snapshots")
    if len(steps) > 1 and steps[1][0] == "L1":
        return _mapping(tree, steps[1:], tree.mappings[index + 1])
    return tree.snapshot(index), steps[1:]


def _refcount_entry(tree: Tree, steps: list[Step]) -> tuple[Node, list[Step]]:
    return tree.refcounts.entry(_index(steps, len(tree.image.refcount_table), "refcount table entries")), steps[1:]


def _refcount_block(tree: Tree, steps: list[Step]) -> tuple[Node, list[Step]]:
    index = _index(steps, len(tree.image.refcount_table), "refcount table entries")
    if not tree.refcounts.entry(index).target_path:
        raise BadAddress(f"rt[{index}] has no refcount block")
    return tree.refcounts.block(index), steps[1:]


def _refcount_of(tree: Tree, steps: list[Step]) -> tuple[Node, list[Step]]:
    return _refcount(tree, steps[0][1] or 0), steps[1:]


def _bitmap(tree: Tree, steps: list[Step]) -> tuple[Node, list[Step]]:
    index = _index(steps, len(tree.image.bitmaps), "bitmaps")
    if len(steps) == 1 or steps[1][0] != "table":
        return tree.bitmaps.bitmap(index), steps[1:]
    table, entry = tree.bitmaps.table(index), steps[1][1]
    if entry is None:
        return table, steps[2:]
    _within(entry, len(table.children()), table.path, "bitmap table entries")
    return table.children()[entry], steps[2:]


def _mapping(tree: Tree, steps: list[Step], mapping: Mapping | None = None) -> tuple[Node, list[Step]]:
    mapping = mapping or tree.active
    name, index = f"{mapping.prefix}L1", steps[0][1]
    if index is None:
        return tree.mapped(mapping).l1, steps[1:]
    _within(index, len(mapping.l1), name, "L1 entries")
    entry = tree.mapped(mapping).l1_entry(index)
    if len(steps) == 1 or steps[1][0] != "L2":
        return entry, steps[1:]
    if not entry.target_path:
        raise BadAddress(f"{name}[{index}] has no L2 table that can be read: it holds {mapping.l1[index].raw:#x}")
    l2_index = steps[1][1]
    if l2_index is None:
        return tree.mapped(mapping).l2(index), steps[2:]
    _within(l2_index, tree.image.geometry.l2_entries, f"{name}[{index}].L2", "L2 entries")
    return _l2_part(tree, tree.mapped(mapping).l2_entry(index, l2_index), steps[2:])


def _l2_part(tree: Tree, node: Node, steps: list[Step]) -> tuple[Node, list[Step]]:
    """``.data`` and ``.ref`` of an L2 entry."""
    if steps and steps[0] == ("data", None):
        if node.target is None:
            raise BadAddress(f"{node.path} is {node.shown}: it has no data in this file")
        node, steps = node.children()[-1], steps[1:]
    if steps and steps[0] == ("ref", None):
        return _refcount(tree, node.where.start >> tree.image.geometry.cluster_bits), steps[1:]
    return node, steps


_STARTS = {
    "L1": _mapping,
    "snap": _snapshot,
    "ref": _refcount_of,
    "rt": _refcount_entry,
    "rb": _refcount_block,
    "bitmap": _bitmap,
}


def _refcount(tree: Tree, cluster: int) -> Node:
    try:
        return tree.refcounts.count(cluster)
    except IndexError:
        raise BadAddress(f"no refcount block covers host cluster {cluster:,}; its refcount is 0") from None


def _descend(node: Node, steps: list[Step], text: str) -> Node:
    """From ``node`` down to the child that each step names; a child's path is its parent's and the step.

    A step may name a group of children that is no node itself, as ``data`` in ``ext[0].data.name[2]``.
    """
    prefix = node.path
    for name, index in steps:
        prefix += (f".{name}" if name else "") + (f"[{index}]" if index is not None else "")
        children = node.children()
        below = next((child for child in children if child.path == prefix), None)
        if below is not None:
            node = below
        elif not any(child.path.startswith((prefix + ".", prefix + "[")) for child in children):
            names = [child.path.removeprefix(node.path).lstrip(".") for child in children[:20]]
            inside = f"; it has {', '.join(names)}" if names else ""
            raise BadAddress(f"“{text}”: {node.path} has no part {prefix.removeprefix(node.path).lstrip('.')}{inside}")
    return node


def _index(steps: list[Step], count: int, what: str) -> int:
    name, index = steps[0]
    _within(index or 0, count, name or "", what)
    return index or 0


def _within(index: int, count: int, name: str, what: str) -> None:
    if index >= count:
        last = f"the last is {name}[{count - 1}]" if count else "there are none"
        there = f"the image has {count:,} {what}; {last}" if count != 1 else f"the image has {name}[0] only"
        raise BadAddress(f"{name}[{index}]: {there}")
