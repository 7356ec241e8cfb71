"""One open image, what is known about it, and where the user is: the state that all screens share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.image.tree import Tree
from qcow2inspect.source.protection import badge
from qcow2inspect.tui.commands import key_of
from qcow2inspect.tui.jobs import Log
from qcow2inspect.tui.knowledge import Knowledge
from qcow2inspect.tui.location import ACTIVE, GuestState, History, Location
from qcow2inspect.units import exact_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qcow2inspect.case import Case
    from qcow2inspect.dossier import State
    from qcow2inspect.export.damage import Damage
    from qcow2inspect.image.address import Place
    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.gate import OpenGate
    from qcow2inspect.image.image import Image
    from qcow2inspect.image.view import View
    from qcow2inspect.layout.node import Node
    from qcow2inspect.progress import Progress
    from qcow2inspect.source.protocol import Source
    from qcow2inspect.survey.ownership import ByteOwner, Ownership
    from qcow2inspect.tui.clustermap import ClusterMap
    from qcow2inspect.tui.comparison import Comparison
    from qcow2inspect.tui.hostmap import Colouring
    from qcow2inspect.tui.notes import Note
    from qcow2inspect.tui.pattern import Pattern
    from qcow2inspect.units import HostOffset

__all__ = ["Session", "first_knowledge"]

_REMEMBERED = 100


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
        changed: the file that was seen to change, in words; empty while none was.
        done: what was written during the session, for the summary on leaving.
        gate: which of the files that the image names may be opened; None for none.
        state: which bytes of the guest are looked at.
        marks: places that the user gave a letter.
        notes: address -> what the user wrote at it.
        recalled: True once the marks and notes of the case are among them.
        pattern: what was searched for last.
        case: where notes, marks, outputs and what was done are kept; None if nowhere.
        typed: addresses that the user went to, the last one last.
        last_step: the last of them that counted from where the user was; empty for none.
        unexplained: bytes of the file without a known purpose; None until they are counted.
        comparison: two disks side by side; None until they are chosen.
        others: files that were opened to be compared with.
        damage: how far the damage reaches into the disk; None until somebody looked.
        called: what the user does for a command, by its id: the key in the keymap that is on, or a word to type.
        log: tasks and journal.
        residues: bytes that no guest sees, a state for each kind; None until somebody looked.
        toured: stops of the tour that were seen.
    """

    image: Image
    tree: Tree
    knowledge: Knowledge
    history: History = field(default_factory=History)
    here: Location = field(default_factory=lambda: Location(mode="overview"))
    indexed: bool = False
    changed: str = ""
    done: list[str] = field(default_factory=list)
    gate: OpenGate | None = None
    state: GuestState = ACTIVE
    marks: dict[str, Location] = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)
    recalled: bool = False
    pattern: Pattern | None = None
    case: Case | None = None
    unexplained: int | None = None
    typed: list[str] = field(default_factory=list)
    last_step: str = ""
    _owners: Ownership | None = None
    comparison: Comparison | None = None
    others: list[Chain] = field(default_factory=list)
    damage: Damage | None = None
    called: Callable[[str], str] = key_of
    log: Log = field(default_factory=Log)
    residues: tuple[GuestState, ...] | None = None
    toured: int = 0
    _chain: Chain | None = None
    _before: list[Chain] = field(default_factory=list)
    _host_map: tuple[Colouring, ClusterMap] | None = None
    _view: tuple[Chain, GuestState, View] | None = None

    @classmethod
    def of(cls, image: Image, gate: OpenGate | None = None) -> Session:
        """The session of an image, with what its header alone tells."""
        session = cls(image, Tree(image), first_knowledge(image), gate=gate)
        session.log.note(f"opened {session.tree.root.name}, {exact_size(image.source.size)}, to be read only")
        for one in image.assumed.all:
            session.log.note(f"ASSUMED {one}", "warn")
        return session

    def go_on_from(self, before: Session) -> None:
        """Keep what the user did when the same image is opened again with other assumptions."""
        self.case, self.done, self.typed = before.case, before.done, before.typed
        self.marks, self.notes, self.recalled = before.marks, before.notes, before.recalled
        before.log.entries += self.log.entries
        self.log = before.log

    # -- what is behind the image -----------------------------------------------------------------------------

    @property
    def chain(self) -> Chain:
        """The image and what is behind it; at first the image alone."""
        if self._chain is None:
            from qcow2inspect.image.follow import chain_of

            self._chain = chain_of(self.image)
        return self._chain

    @property
    def asked_for(self) -> Chain | None:
        """The same; None as long as nobody has asked for it."""
        return self._chain

    def take(self, chain: Chain) -> None:
        """From now on this is behind the image. Files of the chain before stay open: a task may still read them."""
        if self._chain is not None and self._chain is not chain:
            self._before.append(self._chain)
        self._chain, self._view = chain, None
        if self.state.kind == "layer" and self.state.index >= len(chain.layers):
            self.state = ACTIVE

    def view(self) -> View:
        """The guest bytes that are looked at.

        Raises:
            BadAddress: there is no such state.
            Damaged: where the guest data lies cannot be told.
        """
        chain, state = self.chain, self.state
        if self._view is None or self._view[0] is not chain or self._view[1] != state:
            self._view = (chain, state, state.view(chain))
        return self._view[2]

    @property
    def sources(self) -> Sequence[Source]:
        """Every file that is open."""
        if self._chain is None:
            return [self.image.source]
        from qcow2inspect.dossier.surroundings import sources_of

        return list(sources_of(self._chain))

    @property
    def opening(self) -> tuple[str, ...]:
        """The options of a command line that opens the same: what is assumed, and which files may be opened."""
        return self.opening_of(self.image.assumed)

    def opening_of(self, assumptions: Assumptions) -> tuple[str, ...]:
        """The same for a file of which other things are assumed."""
        assumed, gate = assumptions.all, self.gate
        words = [word for one in assumed if not one.why for word in ("--assume", one.option)]
        words += ["--assume", "auto"] if any(one.why for one in assumed) else []
        if gate is not None:
            words += ["--follow", gate.follow.value] if gate.follow.value != "none" else []
            words += [word for name, path in gate.places.items() for word in ("--backing", f"{name}={path}")]
        return tuple(words)

    @property
    def badge(self) -> tuple[str, bool]:
        """How the evidence is kept from being changed, at a glance; False if a layer is missing."""
        words, holds = badge(self.sources)
        return ("read-only", True) if words == "in memory" else (words, holds)

    def forget_view(self) -> None:
        """Something that the guest bytes depend on has changed."""
        self._view = None

    @property
    def states(self) -> Sequence[State]:
        """The flags of the image, with what was opened and unlocked."""
        states = self.knowledge.dossier.states
        if self._chain is None:
            return states
        from qcow2inspect.tui.states import live_states

        return tuple(live_states(self._chain, states))

    def host_map(
        self, progress: Progress | None = None, colouring: Colouring | None = None, *, keep: bool = True
    ) -> ClusterMap:
        """What each host cluster belongs to; made when it is first wanted, in whatever thread wants it.

        Args:
            progress: told how far it is.
            colouring: what else the map shall tell.
            keep: remember it instead of the one before: a map takes a byte for each cluster.

        Raises:
            CannotRead: the image file cannot be read.
            Cancelled: the user asked to stop.
        """
        from qcow2inspect.survey.survey import take_survey
        from qcow2inspect.tui.hostmap import Colouring, make_host_map

        colouring, kept = colouring or Colouring.TYPE, self._host_map
        if kept is not None and kept[0] is colouring:
            return kept[1]
        if keep:
            self._host_map = kept = None
        made = make_host_map(self.knowledge.survey or take_survey(self.image, progress), progress, colouring=colouring)
        if keep:
            self._host_map = (colouring, made)
        return made

    def forget_map(self) -> None:
        """The map of the image file is not looked at any more; it is made again when it is."""
        self._host_map = None

    @property
    def owners(self) -> Ownership | None:
        """Names every byte of the file; None until the tables were read."""
        survey = self.knowledge.survey
        if survey is None or survey.usage is None:
            return None
        if self._owners is None:
            from qcow2inspect.survey.ownership import Ownership

            self._owners = Ownership(survey, survey.usage)
        return self._owners

    def owner(self, offset: HostOffset, node: Node | None) -> ByteOwner | None:
        """What a host byte is; None until that can be told at once."""
        owners = self.owners
        if self.unexplained is None or owners is None or offset >= self.image.end:
            return None
        try:
            return owners.at(offset, node)
        except Qcow2InspectError:
            return None

    def take_other(self, chain: Chain) -> None:
        """Another file is open, to be compared with."""
        self.others.append(chain)
        self.log.note(f"opened {chain.layers[0].name} to compare with, to be read only")
        image = chain.layers[0].image
        for one in image.assumed.all if image is not None else ():
            self.log.note(f"ASSUMED of {image.name if image else ''}: {one}", "warn")

    def remember(self, address: str) -> None:
        """The user went to an address that they typed."""
        self.typed = [*(old for old in self.typed if old != address), address][-_REMEMBERED:]
        if address.startswith(("+", "-", ".")):
            self.last_step = address

    def close(self) -> None:
        """Give all files back."""
        for chain in (*self._before, *self.others, *([self._chain] if self._chain else [])):
            chain.close()
        self.image.close()

    # -- what is where ----------------------------------------------------------------------------------------

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
