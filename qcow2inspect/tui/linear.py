"""The linear mode: a prompt, words, and answers of one fact a line. No colours, no boxes, no cursor that moves.

It is for screen readers, for terminals that can show nothing else, and for pipes. What it knows and does is what the
screens know and do: the same session, addresses, descriptions and tasks.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from qcow2inspect.errors import BadAddress, Qcow2InspectError
from qcow2inspect.image.image import Image
from qcow2inspect.progress import Cancelled
from qcow2inspect.tui import describe, leads, lines, nearby, supply
from qcow2inspect.tui.harm import find_harm, has_harm
from qcow2inspect.tui.lineardeeds import LinearDeeds
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.notes import Note, address_of, marks_of, recall
from qcow2inspect.tui.places import parse_place, pointers_in, text_of
from qcow2inspect.tui.reader import read_chunk
from qcow2inspect.tui.session import Session
from qcow2inspect.tui.tasks import searching
from qcow2inspect.tui.tasks.searching import GuestFound, Searched
from qcow2inspect.tui.words import KINDS, WORDS, word_of
from qcow2inspect.units import GuestOffset, HostOffset, counted, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qcow2inspect.case import Case
    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.image.gate import OpenGate
    from qcow2inspect.tui.pattern import Pattern

__all__ = ["Linear", "run"]

_BYTES = 64
_MOST_BYTES = 4096
_PROMPT = "> "
_INSTEAD = {"bad": "next finding"}
"""Commands that belong to a screen -> what is typed instead."""
_ADDRESSES = "0x30000, c3, G0x10000, hdr.size, L1[0].L2[5].data, ref[4], QCOW-L2-EOF.2, @snap[0] 1MiB"


class Linear(LinearDeeds):
    """Answers one line after the other.

    Attributes:
        is_over: True once the user has left.

    Args:
        session: an open image.
        say: takes a line of answer.
        explain: explains a code or the name of a field; raises ValueError if there is none.
    """

    def __init__(self, session: Session, say: Callable[[str], object], explain: Callable[[str], object]) -> None:
        super().__init__(session, say)
        self._explain = explain
        session.called = _word_for
        self.is_over = False

    def do(self, text: str) -> None:
        """Do what a line says; whatever goes wrong is one line of answer."""
        name, _, rest = text.strip().partition(" ")
        if not name:
            return
        found = word_of(name.lower())
        if isinstance(found, list):
            words = ", ".join(word.word for word in found)
            self.error(f"{name}: there is no such word; help lists all" if not words else f"{name} may be {words}")
        elif found.needed and not rest.strip():
            self.error(f"write {found.shown}. {found.help}")
        else:
            self._try(found.word, rest.strip())

    def _try(self, word: str, rest: str) -> None:
        try:
            getattr(self, f"_do_{word}")(rest)
        except (Qcow2InspectError, ValueError, OSError) as error:
            self.error(str(error))
        except Cancelled:
            self.error("stopped")

    def _tell(self, found: Iterable[str]) -> None:
        for line in found:
            self.say(line)

    # -- looking ----------------------------------------------------------------------------------------------

    def _do_info(self, _: str) -> None:
        self.know()
        self._tell(lines.info_lines(self.session))

    def _do_where(self, _: str) -> None:
        self._tell(lines.place_lines(self.session, self.here))

    def _do_steps(self, _: str) -> None:
        self._tell(lines.step_lines(self.session, self.here))

    def _do_hex(self, rest: str) -> None:
        count = parse_size(rest) if rest else _BYTES
        view, at = self.bytes_here()
        if not 0 < count <= _MOST_BYTES:
            raise BadAddress(f"hex takes 1 to {_MOST_BYTES:,} bytes; export writes more")
        self._tell(lines.hex_lines(view, at, count))

    def _do_tree(self, rest: str) -> None:
        nodes = self.session.tree.top
        if rest:
            there = parse_place(self.session, rest, self.here)
            node = lines.node_at(self.session, there) if there.mode == "explore" else None
            nodes = tuple(node.children()) if node else ()
            if not nodes:
                raise BadAddress(f"{rest} has no parts")
        self._tell(lines.tree_lines(self.session, iter(nodes), len(nodes)))

    def _do_findings(self, rest: str) -> None:
        self.know()
        self._tell(lines.finding_lines(self.session, rest))
        if not rest and has_harm(self.session):
            self.session.damage = None
            self.post_of(lambda post: find_harm(self.session, self.progress("damage"), post))
            self._tell(lines.damage_lines(self.session))

    def _do_explain(self, rest: str) -> None:
        if rest:
            self._explain(rest)
        else:
            self._tell(lines.explained_lines(self.session, self.here))

    def _do_map(self, _: str) -> None:
        self.know()
        host_map = self.session.host_map()
        what = "cluster" if host_map.clusters == 1 else f"group of {host_map.clusters:,} clusters"
        for owner, count in host_map.counts().items():
            self.say(f"{owner.word}: {counted(count, what, what.replace('cluster', 'clusters', 1))}")

    def _do_log(self, _: str) -> None:
        for entry in self.session.log.entries:
            self.say(f"{entry.at:%H:%M:%S}Z {entry.text}")

    def _do_help(self, rest: str) -> None:
        for word in WORDS:
            if rest in ("", word.word):
                self.say(f"{word.shown}: {word.help}")
        if not rest:
            self.say(
                "addresses: 0x30000, c3, G0x10000, hdr.size, L1[0].L2[5].data, ref[4], QCOW-L2-EOF.2, @snap[0] 1MiB"
            )

    def _do_tour(self, _: str) -> None:
        from qcow2inspect.tui.tour import next_stop

        there = next_stop(self.session)
        if there.mode in ("explore", "guest"):
            self.jump(there)
        else:
            self.say(there.title)
            self._try({"overview": "info"}.get(there.mode, there.mode), "")

    def _do_quit(self, _: str) -> None:
        self.is_over = True

    # -- travelling -------------------------------------------------------------------------------------------

    def jump(self, there: Location) -> None:
        """Go somewhere, remember the way back, and say what is there."""
        self.session.history.leave(self.here)
        self._arrive(there)

    def _arrive(self, there: Location) -> None:
        if there.mode == "guest":
            self.session.state = there.state
        self.session.here = there
        self._do_where("")
        self.session.here = replace(there, title="")

    def _do_go(self, rest: str) -> None:
        there = parse_place(self.session, rest, self.here)
        if there.mode in ("overview", "findings"):
            self._try({"overview": "info"}.get(there.mode, there.mode), "")
        elif there.mode == "compare":
            raise BadAddress("compare: is a screen; here, compare FILE and compare @snap[0] list the differences")
        else:
            self.session.remember(rest)
            self.session.log.note(f"goto {text_of(self.session, there)}")
            self.jump(replace(there, mode="explore") if there.mode == "map" else there)

    def _do_guest(self, rest: str) -> None:
        here = self.here if self.here.mode == "guest" else Location(mode="guest", state=self.session.state)
        self.jump(parse_place(self.session, rest or "0", here))

    def _do_back(self, _: str) -> None:
        self._travel(self.session.history.back(self.here), "this is where you began")

    def _do_forward(self, _: str) -> None:
        self._travel(self.session.history.forward(self.here), "there is nothing ahead")

    def _travel(self, there: Location | None, nowhere: str) -> None:
        if there is None:
            raise BadAddress(nowhere)
        self._arrive(there)

    def _do_follow(self, _: str) -> None:
        if self.here.mode == "guest":
            place = supply.entries(self.session, self.here.guest or GuestOffset(0)).last
            if place is None:
                raise BadAddress("no entry of this image's tables maps this byte")
            self.jump(Location(place.offset, place.node.path))
            return
        node = lines.node_at(self.session, self.here)
        self._jump_or_say(leads.target_location(self.session, node) if node else "nothing is known about this place")

    def _jump_or_say(self, there: Location | str) -> None:
        if isinstance(there, str):
            raise BadAddress(there)
        self.jump(there)

    def _do_swap(self, _: str) -> None:
        here = self.here
        if here.mode == "guest":
            guest = here.guest or GuestOffset(0)
            extent = read_chunk(self.session.view(), guest, 1).at(guest)
            self._jump_or_say(supply.host_location(self.session, guest, extent))
            return
        node = lines.node_at(self.session, here)
        there = leads.guest_location(self.session, node, here.offset) if node else None
        if there is None and node is not None and node.kind not in ("data", "compressed"):
            raise BadAddress(f"{describe.title(node)} holds and maps no guest bytes")
        self._jump_or_say(there or self._found_guest() or "no state of the disk has these host bytes")

    def _found_guest(self) -> Location | None:
        found = self.post_of(
            lambda post: searching.find_guest(self.session.chain, self.here.offset, lambda: False, post)
        )
        return next((message.location for message in found if isinstance(message, GuestFound)), None)

    def _do_next(self, rest: str) -> None:
        self._walk(rest, 1)

    def _do_previous(self, rest: str) -> None:
        self._walk(rest, -1)

    def _walk(self, rest: str, step: int) -> None:
        found = [kind for kind in KINDS if kind.startswith(rest.lower())]
        if len(found) != 1:
            raise BadAddress(f"“{rest}” is not one kind: {', '.join(found or KINDS)}")
        kind = found[0]
        self.know()
        there = self._nearby(KINDS[kind], step)
        if there is None:
            raise BadAddress(f"there is no {kind} {'after' if step > 0 else 'before'} this place")
        self.jump(there)

    def _nearby(self, key: str, step: int) -> Location | None:
        session, here = self.session, self.here
        if here.mode == "guest":
            return nearby.in_guest(session, session.view(), here, key, step)
        node = lines.node_at(session, here)
        if key != "]":
            return nearby.on_host(session, node, here, key, step)
        offset = HostOffset(node.where.end if step > 0 else node.where.start - 1) if node else here.offset
        there = session.locate(offset) if 0 <= offset < session.image.end else None
        return Location(there.where.start, there.path) if there else None

    def _do_mark(self, rest: str) -> None:
        if len(rest) != 1 or not rest.isalpha():
            raise BadAddress("a mark is one letter")
        self.session.marks[rest] = self.here
        self.say(f"mark {rest} set; go '{rest} comes back here")

    def _do_note(self, rest: str) -> None:
        address = address_of(self.session, self.here)
        if rest.strip():
            self.session.notes[address] = Note(self.here, " ".join(rest.split()))
        elif self.session.notes.pop(address, None) is None:
            raise BadAddress("note WORDS: there is no note here that could be removed")
        self.say(f"note at {address}: {rest.strip() or 'removed'}")

    def _do_marks(self, _: str) -> None:
        for letter, place in sorted(self.session.marks.items()):
            self.say(f"mark {letter}: go {address_of(self.session, place)}")
        for address, note in self.session.notes.items():
            self.say(f"note at {address}: {note.text}")

    def _do_states(self, rest: str) -> None:
        from qcow2inspect.tui.states import states_of

        if rest:
            guest = f"{int(self.here.guest or 0):#x}" if self.here.mode == "guest" else "0"
            self.jump(parse_place(self.session, f"@{rest.removeprefix('@')} {guest}", Location(mode="guest")))
            return
        for state in states_of(self.session.chain):
            address = text_of(self.session, Location(mode="guest", state=state))
            self.say(f"{state.title}: go {address}")

    def _do_search(self, rest: str) -> None:
        pattern = self._pattern(rest) if rest else self.session.pattern
        if pattern is None:
            raise BadAddress("search WHAT: nothing was searched for yet")
        self.session.pattern = pattern
        view, at = self.bytes_here()
        way = (at - (self._found_at != (self.here, pattern)), 1)  # what stands right here counts, but not twice
        found = self.post_of(lambda post: searching.search(view, pattern, way, self.progress("search"), post))
        hit = next((message for message in found if isinstance(message, Searched)), None)
        if hit is None:
            return
        if hit.unread:
            self.note(f"{counted(hit.unread, 'byte')} could not be searched")
        if hit.offset is None:
            raise BadAddress(f"{pattern.shown} is nowhere here")
        title = "from the start again" if hit.wrapped else ""
        if self.here.mode == "guest":
            guest = GuestOffset(hit.offset)
            self.jump(Location(title=title, mode="guest", guest=guest, state=self.session.state))
        else:
            self.jump(Location(HostOffset(hit.offset), title=title))
        self._found_at = (self.here, pattern)

    def _pattern(self, text: str) -> Pattern:
        from qcow2inspect.tui.pattern import parse_pattern

        if not text.startswith("->"):
            return parse_pattern(text)
        if self.here.mode == "guest":
            raise BadAddress("pointers are in the image file: go to a place of it first, as L1[0] or 0x30000")
        return pointers_in(self.session, text, self.here)

    _found_at: tuple[Location, object] | None = None


def _word_for(command: str) -> str:
    """The word that does what a command does."""
    return next((word.word for word in WORDS if word.command == command), _INSTEAD.get(command, command))


def run(
    path: str,
    gate: OpenGate | None,
    passphrase: bytes | None,
    assumed: Assumptions,
    case: Case | None,
    *,
    explain: Callable[[str], object],
) -> int:
    """Answer the lines of standard input about the image at ``path``.

    Args:
        path: the image.
        gate: which of the files that it names may be opened; none if None.
        passphrase: what unlocks it.
        assumed: what is taken to stand in its metadata.
        case: where what is done is kept; nowhere if None.
        explain: explains a code or the name of a field.

    Raises:
        Qcow2InspectError: the file cannot be inspected.
    """
    session = Session.of(Image.open(path, assumed), gate)
    session.case, session.here = case, Location()
    recall(session)
    linear = Linear(session, lambda line: _put(f"{line}\n"), explain)
    try:
        linear.begin(passphrase)
        _converse(linear)
        if case is not None:
            case.remember((), marks_of(session))
    finally:
        session.close()
    return 0


def _converse(linear: Linear) -> None:
    """Line after line, until the end of the input or until the user leaves."""
    sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]  # names of files may be any bytes
    is_person = sys.stdin.isatty()
    while not linear.is_over:
        if is_person:
            _put(_PROMPT)
        line = sys.stdin.readline()
        if not line:
            _put("\n" if is_person else "")
            return
        try:
            linear.do(line)
        except KeyboardInterrupt:
            if not is_person:
                raise
            linear.error("stopped")


def _put(text: str) -> None:
    """Show a text at once; letters that the terminal does not know are escaped."""
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()
