"""The structure, the bytes, and what they mean: three views of one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work
from textual.containers import Container
from textual.worker import get_current_worker

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui import describe, leads, nearby
from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.knowledge import Explained, KnowledgeGrew
from qcow2inspect.tui.location import ACTIVE, Location
from qcow2inspect.tui.messages import ByteChosen, FollowAsked, JumpAsked, NodeChosen
from qcow2inspect.tui.screens.walk import WalkScreen
from qcow2inspect.tui.tasks import mapping, searching
from qcow2inspect.tui.widgets.hexpane import HexPane
from qcow2inspect.tui.widgets.inspector import Inspector, Translation
from qcow2inspect.tui.widgets.vtree import VTree
from qcow2inspect.units import HostOffset, HostRange, human_size

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.message import Message
    from textual.widget import Widget

    from qcow2inspect.image.view import View
    from qcow2inspect.layout.node import Node
    from qcow2inspect.tui.dialogs.explain import Topic
    from qcow2inspect.tui.exporting import Order
    from qcow2inspect.tui.pattern import Pattern
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.running import TaskProgress
    from qcow2inspect.tui.tasks.searching import GuestFound, MappedFound
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.bytespane import BytesPane

__all__ = ["ExploreScreen"]

_TINTED = 1024


class ExploreScreen(WalkScreen):
    """One location, seen as tree, bytes and words. What moves in one moves in all."""

    BINDINGS = bindings("explore")
    SCOPE = "explore"
    AUTO_FOCUS = "#hex"
    FOCUS_SCOPES = {"hex": ("hex",), "tree": ("tree",)}
    NEARBY = "fetusdcm"
    SLOW = "tus"

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__(session, look)
        geometry = session.image.geometry
        self.tree_pane = VTree(session.tree.root, geometry.refcount_block_entries, look, id="tree")
        self.hex = HexPane(session.image.host_file(), session.locate, look, id="hex")
        self.inspector = Inspector(session, look, id="inspector")
        self.translation = Translation(session, look, id="translation")
        self._asked: tuple[int, int] = (0, 0)
        self.node: Node | None = None
        self._anchor: Node | None = None

    def compose_body(self) -> ComposeResult:
        """Four panes; the style sheet arranges them by size."""
        with Container(id="panes"):
            yield self.tree_pane
            yield self.hex
            yield self.inspector
            yield self.translation

    def on_mount(self) -> None:
        """Show where the session is."""
        super().on_mount()
        self._name_panes()
        self.add_class("-on-hex")
        self.begin_strip()
        self.arrive(self.session.here)

    def _name_panes(self) -> None:
        dot = self.look.glyphs["dot"]
        names = {"hex": f"Hex {dot} host file", "tree": "Structure", "inspector": "Inspector"}
        for pane in (self.hex, self.tree_pane, self.inspector, self.translation):
            pane.border_title = self.framed(names.get(pane.id or "", "Translation"))

    # -- the one place ----------------------------------------------------------------------------------------

    @property
    def here(self) -> Location:
        """Where the cursor is."""
        return Location(self.hex.host, self.node.path if self.node else "")

    def explained(self) -> Topic | None:
        """The field or the structure under the cursor."""
        from qcow2inspect.tui.dialogs.explain import Topic

        node = self.node
        return Topic.node(node, describe.guest_steps(self.session, node, self.hex.host)) if node else None

    def arrive(self, there: Location) -> None:
        """Show a place and say what it is."""
        place = self.session.place(there.path) if there.path else None
        self._anchor = place.node if place else None
        marked = HostRange.at(there.offset, there.size) if there.size else HostRange.at(0, 0)
        self._show(there.offset, self.session.node_at(there.offset, self._anchor), marked=marked)
        self.status.say(there.title, "note")

    def _show(
        self, offset: HostOffset, node: Node | None, *, source: Widget | None = None, marked: HostRange | None = None
    ) -> None:
        """Bring all views to one place.

        Args:
            offset: host offset of the cursor.
            node: what is there.
            source: the view that moved; it knows already.
            marked: bytes that a finding names; None leaves them as they are.
        """
        self.node = node
        selected = node.where if node and node.where.size <= _TINTED else None
        self.hex.show(offset, selected=selected, marked=marked)
        offset = self.hex.host
        if source is not self.tree_pane and node is not None:
            self.tree_pane.reveal(node)
        self._describe(offset, node)

    def _describe(self, offset: HostOffset, node: Node | None) -> None:
        self.inspector.show(node, offset, with_steps=not self.translation.display)
        if self.translation.display:
            self.translation.show(node, offset)
        self._ask_who_maps(offset, node)
        self.crumbs.show(describe.crumbs(self.session, node, offset), self.session.knowledge.findings)
        image = self.session.image
        cluster, inside = divmod(offset, image.geometry.cluster_size)
        place = f"{offset}  cluster {cluster:,} + {inside:#x}"
        facts = [place, f"{human_size(image.source.size)} file", f"{human_size(image.header.size)} disk"]
        if self.session.unexplained is not None:
            facts.insert(1, describe.explained_share(self.session.unexplained, image.end))
        self.status.show_facts([*facts, f"{human_size(image.geometry.cluster_size)} clusters"])
        if self.hex.trouble:
            self.status.say(self.hex.trouble, "bad")

    def _ask_who_maps(self, offset: HostOffset, node: Node | None) -> None:
        """Find out which guest clusters have the data under the cursor, unless that was asked already."""
        owner = self.session.owner(offset, node)
        if owner is None or owner.purpose.value not in ("data", "compressed") or (node and node.guest):
            return
        whole = owner.purpose.value == "data"
        asked = (int(owner.where.start), int(owner.where.end)) if whole else (int(offset), int(offset) + 1)
        if asked != self._asked:
            self._asked = asked
            self._find_mapped(offset)

    @work(thread=True, exclusive=True, group="mapped", exit_on_error=False)
    def _find_mapped(self, offset: HostOffset) -> None:
        searching.mapped(self.session, offset, self.post_message)

    def on_mapped_found(self, message: MappedFound) -> None:
        """Say it, if the cursor is still there."""
        message.stop()
        self.inspector.mapped = (range(*self._asked), message.mapped)
        self.inspector.recompose_lines()

    # -- what the panes say -----------------------------------------------------------------------------------

    def on_byte_chosen(self, message: ByteChosen) -> None:
        """The hex cursor moved."""
        message.stop()
        self.status.say("")
        node = self.session.node_at(message.offset, self._anchor)
        if self._anchor is not None and message.offset not in self._anchor.where:
            self._anchor = None
        self._show(message.offset, node, source=self.hex)

    def on_node_chosen(self, message: NodeChosen) -> None:
        """The tree cursor moved."""
        message.stop()
        self.status.say("")
        self._anchor = message.node
        self._show(message.node.where.start, message.node, source=self.tree_pane, marked=HostRange.at(0, 0))

    def on_follow_asked(self, message: FollowAsked) -> None:
        """A double click."""
        message.stop()
        self.action_follow()

    def news(self, message: Message) -> None:
        """More is known: names may be new."""
        super().news(message)
        if isinstance(message, Explained):
            self._describe(self.hex.host, self.node)
        if isinstance(message, KnowledgeGrew):
            self.hex.reload()
            self._show(self.hex.host, self.session.node_at(self.hex.host, self._anchor))
            self.begin_strip()

    # -- actions ----------------------------------------------------------------------------------------------

    def action_follow(self) -> None:
        """Go where the pointer leads; on a table without pointer open it; else say that there is none."""
        node = self.node
        if node is None:
            self.status.say("the tables are still being read")
        elif node.target is not None or node.target_path:
            self._follow(node)
        elif self.focused is self.tree_pane and not node.is_leaf:
            self.tree_pane.action_switch()
        else:
            self._follow(node)

    def _follow(self, node: Node) -> None:
        there = leads.target_location(self.session, node)
        if isinstance(there, str):
            self.status.say(there, "bad" if node.target is not None or node.target_path else "warn")
        else:
            self.post_message(JumpAsked(there))

    def action_swap(self) -> None:
        """See the guest bytes that lie here, or that this entry maps."""
        node = self.node
        if node is None:
            self.status.say("the tables are still being read")
            return
        there = leads.guest_location(self.session, node, self.hex.host)
        if there is not None:
            self.post_message(JumpAsked(there))
        elif node.kind in ("data", "compressed"):
            self.status.say("looking for the guest byte that lies here", "dim")
            self._find_guest(self.hex.host)
        else:
            self.status.say(f"{describe.title(node)} holds and maps no guest bytes")

    @work(thread=True, exclusive=True, group="find", exit_on_error=False)
    def _find_guest(self, offset: HostOffset) -> None:
        worker = get_current_worker()
        searching.find_guest(self.session.chain, offset, lambda: worker.is_cancelled, self.post_message)

    def on_guest_found(self, message: GuestFound) -> None:
        """Go there, if the user has not gone on."""
        message.stop()
        if message.location is None:
            self.status.say("no state of the disk has these host bytes: nothing maps them")
        elif message.location.offset == self.hex.at and self.app.screen is self:
            self.post_message(JumpAsked(message.location))

    # -- next and previous ------------------------------------------------------------------------------------

    @property
    def bytes_view(self) -> View:
        """The image file."""
        return self.hex.view

    @property
    def bytes_at(self) -> int:
        """Host offset of the cursor."""
        return self.hex.at

    @property
    def bytes_name(self) -> str:
        """What is searched."""
        return "the image file"

    def place_at(self, offset: int, size: int, title: str) -> Location:
        """The location of ``size`` host bytes."""
        return Location(HostOffset(offset), "", size, title)

    def parse_pattern(self, text: str) -> Pattern:
        """Pointers to the cluster under the cursor can be searched, too."""
        if not text.startswith("->"):
            return super().parse_pattern(text)
        from qcow2inspect.tui.places import pointers_in

        try:
            return pointers_in(self.session, text, self.origin or self.here)  # finding while typing moves the cursor
        except Qcow2InspectError as error:
            raise ValueError(str(error)) from error

    def words_for(self, there: Location) -> str:
        """The structure that is found."""
        node = self.session.locate(there.offset)
        owner = self.session.owner(there.offset, node)
        is_data = node is not None and node.kind in ("data", "compressed", "free")
        words = owner.words if owner is not None and is_data else describe.title(node) if node is not None else ""
        return f"host {there.offset}  {words}".rstrip()

    @property
    def pane(self) -> BytesPane:
        """The bytes."""
        return self.hex

    def work_on_strip(self, progress: TaskProgress) -> None:
        """What each part of the image file belongs to."""
        mapping.host_strip(self.session, progress, self.post_message)

    def field_at(self, part: range) -> Node | None:
        """The field under the cursor, if these are its bytes."""
        node = self.node
        return node if node is not None and (node.where.start, node.where.end) == (part.start, part.stop) else None

    def order(self, target: str) -> Order | None:
        """Bytes of the image file: the selection, or those of the structure under the cursor."""
        from qcow2inspect.export.choices import Choices
        from qcow2inspect.tui.exporting import Order
        from qcow2inspect.tui.places import text_of

        node = self.node
        part = self.hex.chosen or (range(node.where.start, node.where.end) if node is not None else range(0))
        part = range(part.start, min(part.stop, self.session.image.end))
        if not part:
            return None
        whole = node is not None and not self.hex.chosen
        there = Location(HostOffset(part.start), node.path if whole and node is not None else "")
        choices = Choices(hashes=("sha256",), verify=True)
        return Order(ACTIVE, target, choices, address=text_of(self.session, there), size=len(part))

    def counts(self) -> dict[str, str]:
        """Fields can be walked, too."""
        unexplained = self.session.unexplained
        bytes_left = {} if unexplained is None else {"u": human_size(unexplained)}
        return {"": "", **super().counts(), **bytes_left}

    def step_field(self, step: int) -> None:
        """To the next or previous entry or field."""
        if step > 0:
            self.hex.next_field()
        else:
            self.hex.previous_field()

    @property
    def guest_at(self) -> int:
        """The guest byte that the structure under the cursor is about."""
        return int(self.node.guest.start) if self.node is not None and self.node.guest is not None else 0

    def find_nearby(self, key: str, step: int) -> Location | None:
        """The next or previous thing that a key stands for."""
        return nearby.on_host(self.session, self.node, self.here, key, step)

    def find_slowly(self, key: str, step: int) -> Location | None:
        """Where the host clusters begin to belong to something else, to nobody, or to other states."""
        return nearby.on_host(self.session, self.node, self.here, key, step)

    # -- panes ------------------------------------------------------------------------------------------------

    def action_toggle_tree(self) -> None:
        """To the tree and back."""
        self._go_to(self.hex if self.focused is self.tree_pane else self.tree_pane)

    def action_next_pane(self) -> None:
        """To the next pane."""
        self._step(1)

    def action_previous_pane(self) -> None:
        """To the previous pane."""
        self._step(-1)

    def _step(self, by: int) -> None:
        panes: list[Widget] = [self.hex, self.tree_pane, self.inspector]
        if self.translation.display:
            panes.append(self.translation)
        at = panes.index(self.focused) if self.focused in panes else 0
        self._go_to(panes[(at + by) % len(panes)])

    def _go_to(self, pane: Widget) -> None:
        """Focus a pane; on a small screen it takes the place of another."""
        for other in ("hex", "tree", "inspector", "translation"):
            self.set_class(pane.id == other, f"-on-{other}")
        self.set_class(pane.id == "tree" or (pane.id == "hex" and self.has_class("-with-tree")), "-with-tree")
        self.call_after_refresh(pane.focus)

    def on_resize(self) -> None:
        """The translation box comes and goes with the width."""
        self._name_panes()
        self.call_after_refresh(lambda: self._describe(self.hex.host, self.node))
