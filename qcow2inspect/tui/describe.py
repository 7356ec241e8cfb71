"""What can be said about a node, as rows of words: for the inspector, the translation box and the breadcrumb.

Pure functions from a session and a node to text; nothing here knows of widgets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.units import exact_size, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.layout.node import Node
    from qcow2inspect.tui.session import Session
    from qcow2inspect.units import GuestOffset, HostOffset

__all__ = [
    "Step",
    "bit_fields",
    "crumbs",
    "explained_share",
    "facts",
    "guest_steps",
    "host_steps",
    "shown",
    "size_shown",
    "snapshots_of",
    "title",
]

_MANY = 8


@dataclass(frozen=True, slots=True)
class Step:
    """One line of arithmetic.

    Attributes:
        name: what is computed.
        how: the formula with this image's numbers.
        value: the result.
    """

    name: str
    how: str
    value: str


def title(node: Node) -> str:
    """What a node is called when it stands alone: ``L2 entry 5 of L1[2]``, ``l1_table_offset``."""
    path, name = node.path, node.name
    if path.startswith("ref["):
        return f"refcount of host cluster {name[1:-1]}"
    if not name.startswith("["):
        return name
    owner, _, _ = path.rpartition("[")
    number = name[1:-1]
    what = "entries" if "‥" in number else "entry"
    if owner.endswith(".L2"):
        return f"L2 {what} {number} of {owner.removesuffix('.L2')}"
    if owner.endswith("L1"):
        state = f" of {owner.removesuffix('.L1')}" if "." in owner else ""
        return f"L1 {what} {number}{state}"
    words = {"rt": "refcount table", "snap": "snapshot", "bitmap": "bitmap"}
    if owner in ("snap", "bitmap"):
        return f"{words[owner]} {number}"
    return f"{words.get(owner, owner)} {what} {number}"


def facts(session: Session, node: Node) -> Iterator[tuple[str, str, str]]:
    """Label, value, role of what is known about a node; the raw bytes are not among them."""
    image = session.image
    bits = image.geometry.cluster_bits
    if node.shown and node.bits is None and not (node.state and node.target is not None):
        yield "says", node.shown, "text"
    if node.state:
        yield "state", node.state, node.state
    start, end = node.where.start, node.where.end
    last = max(start, end - 1)
    clusters = f"cluster {start >> bits:,}" + (f"‥{last >> bits:,}" if last >> bits != start >> bits else "")
    yield "host", f"{start}‥{last:#x}  {clusters}", "text"
    if node.guest is not None:
        yield "guest", f"{node.guest.start}‥{node.guest.end - 1:#x}  at {human_size(int(node.guest.start))}", "text"
    if node.target is not None:
        past = node.target >= image.end
        words = f"{node.target}  cluster {node.target >> bits:,}" + (", past the end of the file" if past else "")
        yield "points", words, "bad" if past else "text"
    yield from _refcount(session, node)


def _refcount(session: Session, node: Node) -> Iterator[tuple[str, str, str]]:
    if node.path.startswith(("ref[", "rb[")) or not node.path:
        return
    bits = session.image.geometry.cluster_bits
    place = node.target if node.target is not None else node.where.start
    try:
        count = session.image.refcount(place >> bits)
    except Qcow2InspectError:
        return
    words = {0: "0, not in use", 1: "1, used once"}.get(count, f"{count:,}, shared")
    role = {0: "warn" if node.target is not None else "dim", 1: "text"}.get(count, "shared")
    yield "refcount", f"{words} (cluster {place >> bits:,})", role


def bit_fields(node: Node) -> list[Node]:
    """The bit fields of a node's word, most significant first; empty if it has none."""
    if node.is_leaf:
        return []
    try:
        children = node.children()
        if len(children) > 40:
            return []
        return [child for child in children if child.bits is not None and child.where == node.where]
    except Qcow2InspectError:
        return []


def guest_steps(session: Session, node: Node, offset: HostOffset) -> list[Step]:
    """How the guest offset that belongs to a node leads to its host offset; empty if it has no guest range."""
    if node.guest is None or node.kind not in ("l1", "l2", "data", "compressed"):
        return []
    geometry, image = session.image.geometry, session.image
    inside = offset - node.where.start if node.kind == "data" else 0
    guest = type(node.guest.start)(node.guest.start + inside)
    l1, l2 = geometry.l1_index(guest), geometry.l2_index(guest)
    prefix = node.path.partition("L1")[0]
    mapping = next((m for m in session.tree.mappings if m.prefix == prefix), None)
    if mapping is None or l1 >= len(mapping.l1):
        return []
    steps = [
        Step("guest offset", f"{guest}", human_size(int(guest))),
        Step("L1 index", f"offset ÷ {human_size(geometry.l2_span)}", f"{l1:,}  at {mapping.l1.where(l1).start}"),
    ]
    try:
        entry = mapping.l1[l1]
        if not entry.l2_table_offset or entry.l2_table_offset >= image.end:
            return [*steps, Step("L1 entry", f"{entry.raw:#018x}", "no L2 table here")]
        where = image.l2_table(entry.l2_table_offset).where(l2).start
        if node.kind == "l1":
            return [*steps, Step("L2 table", f"{entry.raw:#018x}", f"at {entry.l2_table_offset}")]
        size = human_size(geometry.cluster_size)
        steps.append(Step("L2 index", f"offset ÷ {size} mod {geometry.l2_entries:,}", f"{l2:,}  at {where}"))
        found = session.tree.mapped(mapping).l2_entry(l1, l2)
        raw = int.from_bytes(image.read(where, 8), "big")
    except (Qcow2InspectError, IndexError):
        return steps
    steps.append(Step("L2 entry", f"{raw:#018x}", found.state or found.shown))
    steps.append(Step("in cluster", f"offset mod {size}", f"{guest & (geometry.cluster_size - 1):#x}"))
    if found.target is not None:
        steps.append(
            Step("host offset", f"cluster {found.target >> geometry.cluster_bits:,}", f"{found.target + inside:#x}")
        )
    return steps


def host_steps(session: Session, offset: HostOffset) -> list[Step]:
    """Where the refcount of the host cluster at ``offset`` lies, and what it is."""
    geometry, image = session.image.geometry, session.image
    cluster = offset >> geometry.cluster_bits
    index, slot = divmod(cluster, geometry.refcount_block_entries)
    steps = [Step("host cluster", f"{offset} ÷ {human_size(geometry.cluster_size)}", f"{cluster:,}")]
    try:
        where = image.refcount_where(cluster)
        if where is None:
            return [*steps, Step("refcount", f"rt[{index}] has no block", "0")]
        steps.append(Step("refcount block", f"{cluster:,} ÷ {geometry.refcount_block_entries:,}", f"rb[{index}]"))
        steps.append(Step("place", f"entry {slot:,}, {geometry.refcount_bits} bits", f"{where.start}"))
        steps.append(Step("refcount", f"ref[{cluster}]", f"{image.refcount(cluster):,}"))
    except Qcow2InspectError:
        return steps
    return steps


def snapshots_of(session: Session, node: Node) -> list[tuple[str, str, bool]]:
    """The same guest cluster in the other states: title, what is there, and whether it is the same host cluster."""
    if node.guest is None or node.kind not in ("l2", "data", "compressed"):
        return []
    here = session.place(node.path.removesuffix(".data"))
    if here is None:
        return []
    prefix = node.path.partition("L1")[0]
    found = []
    for mapping in session.tree.mappings[: _MANY + 1]:
        if mapping.prefix == prefix or node.guest.start >= mapping.size:
            continue
        there = _entry_of(session, mapping.prefix, node.guest.start)
        if there is not None:
            same = (there.target, there.state) == (here.node.target, here.node.state)
            found.append((mapping.title, there.shown, same))
    return found


def _entry_of(session: Session, prefix: str, guest: GuestOffset) -> Node | None:
    geometry = session.image.geometry
    path = f"{prefix}L1[{geometry.l1_index(guest)}]"
    place = session.place(f"{path}.L2[{geometry.l2_index(guest)}]") or session.place(path)
    return place.node if place else None


def crumbs(session: Session, node: Node | None, offset: HostOffset) -> list[tuple[str, str]]:
    """The way from the file to the byte: words, and the address that each leads to (empty for none)."""
    found = [(session.tree.root.name, "0")]
    if node is None:
        return [*found, (f"host {offset}", f"{offset}")]
    prefix = node.path.partition("L1")[0]
    found += _structure_crumbs(node, prefix)
    if node.kind not in ("data", "compressed", "free") or node.guest is None:
        found.append((f"host {offset}", f"{offset}"))
    if node.target is not None and node.guest is not None and node.kind == "l2":
        found.append((f"data {node.target}", node.target_path or f"{node.target}"))
    if node.guest is not None:
        inside = offset - node.where.start if node.kind == "data" else 0
        guest = node.guest.start + inside
        found.append((f"guest {guest:#x}", "" if prefix else f"G{guest:#x}"))
    return found


def _structure_crumbs(node: Node, prefix: str) -> list[tuple[str, str]]:
    path = node.path
    if path.startswith("hdr"):
        return [("Header", "hdr"), *([(node.name, path)] if path != "hdr" else [])]
    if path.startswith("c") and path[1:].isdecimal():
        return [(node.name, path)]
    if path.startswith("ref["):
        return [("Refcounts", "rt"), (node.name, path)]
    if not path.startswith(f"{prefix}L1["):
        return [(path if "[" in path else node.name, path)] if path else []
    found = [(prefix.removesuffix("."), prefix.removesuffix("."))] if prefix else []
    rest = path.removeprefix(prefix)
    l1, _, below = rest.partition(".")
    found.append((l1, f"{prefix}{l1}"))
    if below:
        l2, _, field = below.partition(".")
        name = f"{l2} {node.state}" if node.state and not field else l2
        found.append((name, f"{prefix}{l1}.{l2}"))
        if field:
            found.append((node.name if field == "data" else field, path))
    return found


def explained_share(unexplained: int, end: int) -> str:
    """How much of a file has a known purpose; 100 % only if all of it has."""
    share = 100 * (end - unexplained) / max(1, end)
    return f"explained {min(share, 99.9) if unexplained else share:.1f} %".replace("100.0", "100")


def size_shown(node: Node) -> str:
    """Bytes or bits of a node in words."""
    if node.bits is not None:
        low, high = node.bits
        return f"bit {low}" if low == high else f"bits {high}‥{low}"
    size = node.where.size
    return f"{size} byte{'s' * (size != 1)}" if size < 1024 else exact_size(size)


def shown(node: Node) -> str:
    """The value of a node with its state in words, where the value does not say it already."""
    if node.state in ("", "normal", "free", "subclusters") or node.state in node.shown:
        return node.shown
    if node.kind in ("data", "compressed") or node.shown == "unused":
        return node.shown
    if node.state == "invalid" and "→" in node.shown:
        return f"invalid →{node.shown.partition('→')[2]}"
    return f"{node.shown} {node.state}".strip()
