"""What a place is, in lines: one fact in each, without signs that a screen reader spells out.

Pure functions from a session to text; nothing here knows of widgets or of a terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.layout.structure import visible
from qcow2inspect.tui import describe, supply
from qcow2inspect.tui.places import text_of
from qcow2inspect.tui.reader import read_chunk
from qcow2inspect.units import GuestOffset, counted, exact_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.view import View
    from qcow2inspect.layout.node import Node
    from qcow2inspect.tui.location import Location
    from qcow2inspect.tui.session import Session

__all__ = [
    "damage_lines",
    "explained_lines",
    "finding_lines",
    "hex_lines",
    "info_lines",
    "node_at",
    "place_lines",
    "spoken",
    "step_lines",
    "tree_lines",
]

_MOST = 50
_ROW = 16
_SPOKEN = {
    "‥": " to ",
    "→": " to ",
    "÷": "divided by",
    "×": "times",
    "⇄": "and",
    "…": "...",
    "·": ",",
    "▸": ",",
    "≠": "is not",
}


def spoken(text: str) -> str:
    """``text`` as one line that can be read aloud: no control characters, no arrows, no boxes."""
    text = visible(" ".join(text.split()))
    for sign, words in _SPOKEN.items():
        text = text.replace(sign, words)
    return " ".join("".join(" " if "\u2500" <= letter <= "\u28ff" else letter for letter in text).split())


def node_at(session: Session, here: Location) -> Node | None:
    """What is at a place of the image file; None if that cannot be told."""
    place = session.place(here.path) if here.path else None
    return session.node_at(here.offset, place.node if place else None)


def info_lines(session: Session) -> Iterator[str]:
    """The verdict and the facts."""
    dossier = session.knowledge.dossier
    yield f"image: {session.tree.root.name}"
    yield f"verdict: {dossier.verdict}"
    yield from dossier.summary
    yield from (f"{label}: {value}" for label, value in dossier.facts)
    yield from (f"{state.name}: {state.shown}" for state in session.states)
    if session.unexplained is not None:
        yield describe.explained_share(session.unexplained, session.image.end)


def place_lines(session: Session, here: Location) -> Iterator[str]:
    """What is known about a place."""
    if here.title:
        yield here.title
    yield f"address: {text_of(session, here)}"
    if here.mode == "guest":
        guest = here.guest or GuestOffset(0)
        chunk = read_chunk(session.view(), guest, 1)
        for label, value, _ in supply.facts(session, guest, chunk.at(guest)) if chunk.data else ():
            if label != "next":  # it speaks of keys
                yield f"{label}: {value}"
        return
    node = node_at(session, here)
    if node is not None:
        yield f"place: {describe.title(node)}"
        yield from (f"{label}: {value}" for label, value, _ in describe.facts(session, node))
        yield from (f"about: {node.doc}" for _ in range(bool(node.doc)))
        yield from (f"{field.name}: {describe.shown(field)}" for field in describe.bit_fields(node))
    else:
        yield f"host offset: {here.offset}"
    owner = session.owner(here.offset, node)
    if owner is not None:
        yield f"belongs to: {owner.words}"


def step_lines(session: Session, here: Location) -> Iterator[str]:
    """How an address is computed."""
    node = node_at(session, here) if here.mode != "guest" else None
    if here.mode == "guest":
        place = supply.entries(session, here.guest or GuestOffset(0)).last
        node = place.node if place else None
    steps = describe.guest_steps(session, node, here.offset) if node else []
    if here.mode != "guest":
        steps += describe.host_steps(session, here.offset)
    yield from (f"{step.name}: {step.how} gives {step.value}" for step in steps)
    for title, shown, same in describe.snapshots_of(session, node) if node else ():
        yield f"in {title}: {shown}{', the same cluster' * same}"
    if not steps:
        yield "nothing is computed for this place"


def hex_lines(view: View, start: int, count: int) -> Iterator[str]:
    """Bytes of a view, 16 in a line; question marks for those that cannot be read, and why."""
    chunk = read_chunk(view, start, count)
    errors: dict[str, None] = {}
    for at in range(0, len(chunk.data), _ROW):
        row = chunk.data[at : at + _ROW]
        hidden = [chunk.at(start + at + place).error for place in range(len(row))]
        errors |= {why.what: None for why in hidden if why}
        pairs = list(zip(row, hidden, strict=True))
        cells = ["??" if why else f"{byte:02x}" for byte, why in pairs]
        text = "".join(chr(byte) if 32 <= byte < 127 and not why else "." for byte, why in pairs)
        yield f"{start + at:#x}: {' '.join(cells)}  text {text}"
    yield from (f"cannot be read: {why}" for why in errors)


def tree_lines(session: Session, nodes: Iterator[Node], total: int) -> Iterator[str]:
    """Nodes of the structure, each with its address."""
    for number, node in enumerate(nodes):
        if number == _MOST:
            yield f"{counted(total - number, 'more part')}; give the address of one"
            return
        value = describe.shown(node)
        words = [f"{node.path or node.name}: {describe.title(node) if node.path != node.name else ''}", value]
        yield ", ".join(word for word in words if word.strip())


def explained_lines(session: Session, here: Location) -> Iterator[str]:
    """What there is to say about the field or the structure at a place."""
    from qcow2inspect.rules.explain import of_node

    place = supply.entries(session, here.guest or GuestOffset(0)).last if here.mode == "guest" else None
    node = place.node if place is not None else node_at(session, here)
    texts = of_node(node) if node is not None else []
    for text in texts:
        yield text.title
        yield from (f"{label}: {value}" for label, value in text.rows)
    if not texts:
        yield "there is no text about this place"


def damage_lines(session: Session) -> Iterator[str]:
    """How far the damage reaches into the disk; nothing while that is not known."""
    damage = session.damage
    if damage is None:
        return
    words = {"lost": damage.lost_bytes, "suspect": damage.suspect_bytes, "intact": damage.intact_bytes}
    told = ", ".join(f"{word} {exact_size(size)}" for word, size in words.items())
    yield f"blast radius: {told}; {counted(len(damage.marked), 'range')} that an export marks"


def finding_lines(session: Session, words: str) -> Iterator[str]:
    """Findings, heaviest first, whose text has all of some words."""
    wanted = words.lower().split()
    found = [
        finding
        for finding in session.knowledge.findings
        if all(word in f"{finding.severity} {finding.code} {finding.message}".lower() for word in wanted)
    ]
    for finding in found[:_MOST]:
        places = f", {counted(finding.count, 'place')}" if finding.count > 1 else ""
        yield f"{finding.severity} {finding.code}{places}: {finding.message}"
    if len(found) > _MOST:
        yield f"{len(found) - _MOST:,} more; give words to see fewer"
    if not found:
        yield "no findings" if not wanted else "no finding has these words"
    if not session.knowledge.surveyed:
        yield "not all tables were read: there may be more"
