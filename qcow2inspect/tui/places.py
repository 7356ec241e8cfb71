"""The goto language of the screens: what :mod:`qcow2inspect.image.address` knows, and what only a session knows.

===========================  =====================================================================
``@active G0x1000``          a guest byte, on the Guest screen; ``@snap[0]``, ``@vm[0]``, ``@layer[1]``
``@"before" 1GiB``           a snapshot by its name; the G may be left out
``QCOW-L2-EOF.2``            the second piece of evidence of a finding
``'a``                       a mark
``map: 0x30000``             a place on another screen; ``overview:``, ``findings:``
``compare: @file"b.raw" G0`` a byte of another file that was opened to be compared with
===========================  =====================================================================

:func:`text_of` writes what :func:`parse_place` reads: text -> location -> text -> the same location.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from qcow2inspect.errors import BadAddress, Qcow2InspectError
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.image.address import resolve
from qcow2inspect.image.arithmetic import evaluate
from qcow2inspect.layout.structure import visible
from qcow2inspect.tui.location import ACTIVE, GuestState, Location
from qcow2inspect.tui.nearby import place_of
from qcow2inspect.units import GuestOffset, HostOffset

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.view import View
    from qcow2inspect.tui.pattern import Pattern
    from qcow2inspect.tui.session import Session

__all__ = ["completions", "parse_place", "pointers_in", "state_named", "text_of"]

_STATE = re.compile(r'@\s*((?:file)?"[^"]*"|[^\s"]+)\s*(.*)', re.DOTALL)
_NAMED = re.compile(r'snap\[?("[^"]*")\]?(.*)', re.DOTALL)
_KINDS = {"snap": "snapshot", "vm": "vm-state", "layer": "layer"}
_SIGNS = {kind: name for name, kind in _KINDS.items()}
_HOST_MODES = ("map",)
_MODES = ("overview", "findings", "compare", *_HOST_MODES)
_FILE = 'file"'
_MOST = 200
_CANDIDATES = 8


def parse_place(session: Session, text: str, here: Location | None = None) -> Location:
    """Where a text leads.

    Args:
        session: the image, its findings and marks.
        text: what was typed.
        here: where the user is: relative addresses count from there, and on the Guest screen numbers are guest offsets.

    Raises:
        BadAddress: the text is no address, or nothing in this session has it; the message says what is possible.
    """
    text = text.strip()
    if text.startswith("@"):
        return _guest_of_state(session, text)
    if text.startswith("'"):
        return _mark(session, text[1:])
    if text.upper().startswith("QCOW-"):
        return _evidence(session, text)
    mode, colon, rest = text.partition(":")
    if colon and mode in _MODES:
        return _on_screen(session, mode, rest)
    if here is not None and here.mode == "guest":
        guest = _guest_number(session, text, here.guest or GuestOffset(0))
        if guest is not None:
            return _checked(session, here.state, guest)
    place = resolve(session.tree, _by_number(session, text), here.offset if here is not None else None)
    if place.offset >= session.image.end:
        raise BadAddress(f"{place.offset} is past the end of the file, which has {session.image.end:,} bytes")
    return Location(place.offset, place.node.path)


def _by_number(session: Session, text: str) -> str:
    """``snap"name".L1[0]`` with the number of the snapshot instead of its name."""
    found = _NAMED.fullmatch(text)
    return text if found is None else f"snap[{state_named(session, found[1]).index}]{found[2]}"


def pointers_in(session: Session, text: str, here: Location) -> Pattern:
    """Whatever points to the cluster of a place: ``-> ADDRESS``, or ``->`` for the place itself.

    Raises:
        BadAddress: the address leads nowhere.
    """
    from qcow2inspect.tui.pattern import pointers_to

    there = parse_place(session, text[2:], here).offset if text[2:].strip() else here.offset
    size = session.image.geometry.cluster_size
    start = there - there % size

    def target_at(offset: int) -> int | None:
        """What the field that begins at a host offset points to; called in a thread."""
        try:
            node = session.tree.locate(HostOffset(offset))
        except Qcow2InspectError:
            return None
        return node.target if node.where.start == offset and not node.path.startswith(("ref[", "c")) else None

    return pointers_to(start, start + size, target_at, text)


def text_of(session: Session, location: Location) -> str:
    """The shortest address that leads to a location."""
    if location.mode == "guest":
        return _text_of_guest(location)
    if location.mode in _HOST_MODES:
        where = f"{int(location.offset):#x}" if location.guest is None else _text_of_guest(location)
        return f"{location.mode}: {where}"
    if location.mode == "compare" and location.guest is not None:
        return f"{location.mode}: {_text_of_guest(location)}"
    if location.mode in _MODES:
        return f"{location.mode}:"
    place = session.place(location.path) if location.path else None
    if place is None:
        return f"{int(location.offset):#x}"
    further = location.offset - place.offset
    text = location.path if not further else f"{location.path} {'+' if further > 0 else '-'} {abs(further):#x}"
    again = resolve(session.tree, text)
    same = (again.offset, again.node.path) == (location.offset, location.path)
    return text if same else f"{int(location.offset):#x}"


def _text_of_guest(location: Location) -> str:
    state = location.state
    if state.kind == "residue":
        return f"@residue[{state.residue}] G{int(location.guest or 0):#x}"
    if state.kind == "other":
        return f'@{_FILE}{state.title}" G{int(location.guest or 0):#x}'
    name = f"{_SIGNS[state.kind]}[{state.index}]" if state.kind in _SIGNS else "active"
    return f"@{name} G{int(location.guest or 0):#x}"


# -- what only a session knows ----------------------------------------------------------------------------------


def _guest_of_state(session: Session, text: str) -> Location:
    found = _STATE.fullmatch(text)
    if found is None:
        raise BadAddress('after @ comes a state: @active G0x1000, @"name of a snapshot" 1GiB, @snap[0], @layer[1]')
    state = state_named(session, found[1])
    rest = found[2].strip()
    guest = _guest_number(session, rest, GuestOffset(0)) if rest else GuestOffset(0)
    if guest is None:
        raise BadAddress(f"“{visible(rest)}” is no guest offset: write G0x1000, 1GiB, Gc5 or Gs2048")
    return _checked(session, state, guest)


def state_named(session: Session, word: str) -> GuestState:
    """The state that a word means: ``active``, ``snap[0]``, ``vm[0]``, ``layer[1]``, a snapshot's name in quotes.

    Raises:
        BadAddress: it means none.
    """
    if word == "active":
        return ACTIVE
    if word.startswith('"'):
        index = _snapshot_called(session, word[1:-1])
        return GuestState("snapshot", index, f"snapshot {session.image.snapshots[index].title}")
    if word.startswith(_FILE):
        return GuestState("other", title=_other(session, word[len(_FILE) : -1])[0])
    if word.startswith("residue[") and word.endswith("]"):
        return _residue(session, word[8:-1])
    found = re.fullmatch(r"(snap|vm|layer)\[(\d{1,9})\]", word)
    if found is None:
        known = "active, snap[0], vm[0], layer[1], residue[stale] or a name in quotes"
        raise BadAddress(f"“{visible(word)}” is no state: {known}")
    from qcow2inspect.tui.states import states_of

    kind, index = _KINDS[found[1]], int(found[2])
    for state in states_of(session.chain):
        if (state.kind, state.index) == (kind, index):
            return state
    raise BadAddress(f"the image has no {word}; {session.called('states')} lists all states")


def _snapshot_called(session: Session, name: str) -> int:
    """The number of the one snapshot of this name.

    Raises:
        BadAddress: none is called so, or several are.
    """
    snapshots = session.image.snapshots
    found = [
        index
        for index, snapshot in enumerate(snapshots)
        if name in (snapshot.name.decode("utf-8", "replace"), snapshot.title)
    ]
    if not found:
        raise BadAddress(f"no snapshot is called “{visible(name)}”; there are {len(snapshots):,}")
    if len(found) > 1:
        which = ", ".join(f"snap[{index}]" for index in found[:_CANDIDATES])
        more = ", ..." if len(found) > _CANDIDATES else ""
        raise BadAddress(f"{len(found):,} snapshots are called “{visible(name)}”: say which, {which}{more}")
    return found[0]


def _other(session: Session, name: str) -> tuple[str, Chain]:
    """Another file that was opened, by its name.

    Raises:
        BadAddress: none of this name was.
    """
    from qcow2inspect.tui.states import base_name

    for chain in reversed(session.others):
        if base_name(chain.layers[0]) == name:
            return name, chain
    raise BadAddress(
        f"“{visible(name)}” was not opened; {session.called('compare.choose')} opens files to compare with"
    )


def _residue(session: Session, kind: str) -> GuestState:
    if session.residues is None:
        raise BadAddress("nobody has looked for residues yet: S and then r does")
    for state in session.residues:
        if state.residue == kind:
            return state
    known = ", ".join(state.residue for state in session.residues) or "none"
    raise BadAddress(f"the image has no residue “{visible(kind)}”; it has {known}")


def _guest_number(session: Session, text: str, at: GuestOffset) -> GuestOffset | None:
    """The guest offset that ``text`` means, counted from ``at`` if it begins with a sign; None if it means none."""
    text = text.strip()
    cluster = session.image.geometry.cluster_size
    if text[:1] in ("+", "-", "."):
        value = evaluate(text.removeprefix(".") or "+0", cluster)
        value = None if value is None else at + value
    else:
        unit = 1
        if text[:1] in ("g", "G"):
            text = text[1:]
            unit = {"c": cluster, "s": SECTOR}.get(text[:1].lower(), 1)
            text = text if unit == 1 else text[1:]
        value = evaluate(text, cluster)
        value = None if value is None else value * unit
    if value is None:
        return None
    if not 0 <= value < 1 << 64:
        raise BadAddress(f"{visible(text)} is {value:#x}, which is no offset")
    return GuestOffset(value)


def _checked(session: Session, state: GuestState, guest: GuestOffset) -> Location:
    size = _view(session, state).size
    if guest >= size:
        raise BadAddress(f"guest offset {guest} is past the end of the {state.title}, which has {size:,} bytes")
    return Location(mode="guest", guest=guest, state=state)


def _view(session: Session, state: GuestState) -> View:
    if state.kind == "other":
        return ACTIVE.view(_other(session, state.title)[1])
    return state.view(session.chain)


def _mark(session: Session, letter: str) -> Location:
    if letter not in session.marks:
        known = ", ".join(sorted(session.marks)) or "none yet; m and a letter set one"
        raise BadAddress(f"there is no mark “{visible(letter)}”; marks are {known}")
    return session.marks[letter]


def _evidence(session: Session, text: str) -> Location:
    code, _, count = text.upper().partition(".")
    found = [finding for finding in session.knowledge.findings if finding.code == code]
    places = [(finding, evidence) for finding in found for evidence in finding.evidence]
    number = int(count) if count.isdecimal() and len(count) < 10 else 0 if count else 1
    if not 1 <= number <= len(places):
        has = f"{len(places):,} places" if found else "no such finding"
        raise BadAddress(f"{visible(code)}: this image has {has}; 4 lists all findings")
    finding, evidence = places[number - 1]
    return place_of(finding, evidence)


def _on_screen(session: Session, mode: str, rest: str) -> Location:
    if mode not in (*_HOST_MODES, "compare") or not rest.strip():
        return Location(mode=mode)
    if rest.strip().startswith("@"):
        return replace(_guest_of_state(session, rest.strip()), mode=mode)
    if mode == "compare":
        raise BadAddress("Compare shows guest bytes: write compare: @active G0x10000")
    place = resolve(session.tree, rest)
    if place.offset >= session.image.end:
        raise BadAddress(f"host offset {place.offset} is past the end of the file")
    return Location(place.offset, mode=mode)


# -- completion -------------------------------------------------------------------------------------------------


def completions(session: Session, text: str) -> list[str]:
    """What ``text`` may become, each longer than it, in the order of the structure; at most :data:`_MOST`."""
    return [word for word in _candidates(session, text) if word.startswith(text) and word != text][:_MOST]


def _candidates(session: Session, text: str) -> Iterable[str]:
    if text.startswith("@"):
        from qcow2inspect.tui.states import states_of

        return [text_of(session, Location(mode="guest", state=state))[:-4] for state in states_of(session.chain)]
    if text.startswith("'"):
        return [f"'{letter}" for letter in sorted(session.marks)]
    if "QCOW-".startswith(text.upper()[:5]) and text:
        return [text + code[len(text) :] for code in _codes(session) if code.startswith(text.upper())]
    cut = max(text.rfind("."), text.rfind("["))
    if cut < 0:
        return [*(node.path for node in session.tree.top), "ref[", "rb[", *(f"{mode}:" for mode in _MODES)]
    return _parts(session, text[:cut])


def _codes(session: Session) -> list[str]:
    return list(dict.fromkeys(finding.code for finding in session.knowledge.findings))


def _parts(session: Session, base: str) -> Iterable[str]:
    """Addresses of the parts of what ``base`` leads to."""
    place = session.place(base)
    if place is None:
        return ()
    node = place.node
    found = [child.path for child in node.children()[:_MOST]]
    if node.kind == "l1" and node.target_path:
        found.append(node.target_path)
    return [base + path[len(node.path) :] for path in found if path.startswith(node.path)]
