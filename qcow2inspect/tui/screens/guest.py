"""The disk as the guest sees it: the bytes of one state, and where each comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Container

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui import nearby, supply
from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.knowledge import KnowledgeGrew
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.messages import ChainChanged, FollowAsked, GuestChosen, JumpAsked
from qcow2inspect.tui.screens.walk import WalkScreen
from qcow2inspect.tui.tasks import mapping
from qcow2inspect.tui.widgets.guestpane import CELLS, GuestPane, word_of
from qcow2inspect.tui.widgets.supply import SupplyPane
from qcow2inspect.units import GuestOffset, GuestRange, human_size

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.message import Message

    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.tui.dialogs.explain import Topic
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.running import TaskProgress
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.bytespane import BytesPane

__all__ = ["GuestScreen"]

_EMPTY = "there is no guest byte: what is looked at is 0 bytes long"


class GuestScreen(WalkScreen):
    """One guest byte, seen among its neighbours and in words."""

    BINDINGS = bindings("guest")
    SCOPE = "guest"
    AUTO_FOCUS = "#guest"
    FOCUS_SCOPES = {"guest": ("hex",)}

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__(session, look)
        self.hex = GuestPane(look, id="guest")
        self.supply = SupplyPane(session, look, id="supply")

    def compose_body(self) -> ComposeResult:
        """The bytes, and where they come from."""
        with Container(id="halves"):
            yield self.hex
            yield self.supply

    def on_mount(self) -> None:
        """Show where the session is."""
        super().on_mount()
        self.arrive(self.session.here)

    def on_unmount(self) -> None:
        """Read no more."""
        self.hex.reader.close()

    # -- the one place ----------------------------------------------------------------------------------------

    @property
    def here(self) -> Location:
        """Where the cursor is."""
        return Location(mode="guest", guest=self.hex.guest, state=self.session.state)

    @property
    def busy(self) -> bool:
        """True while bytes that are in sight are being read."""
        return self.hex.reader.busy

    def explained(self) -> Topic | None:
        """The entry that maps the byte under the cursor."""
        from qcow2inspect.tui import describe
        from qcow2inspect.tui.dialogs.explain import Topic

        place = supply.entries(self.session, self.hex.guest).last if self.hex.byte_count else None
        return Topic.node(place.node, describe.guest_steps(self.session, place.node, place.offset)) if place else None

    def arrive(self, there: Location) -> None:
        """Show a place."""
        if there.guest is not None:
            self.session.state = there.state
        view = self._open()
        if view is not self.hex.view:
            self.hex.read_from(view)
            self.begin_strip()
        offset = self.hex.at if there.guest is None else there.guest
        marked = GuestRange.at(offset, there.size or 0)
        self.hex.show(offset, marked=marked)
        self._describe()
        self.status.say(there.title, "note")

    def _open(self) -> View | None:
        try:
            return self.session.view()
        except (Qcow2InspectError, ValueError) as error:
            self.supply.fail(error)
            return None

    def news(self, message: Message) -> None:
        """Files were opened or layers unlocked: other bytes, perhaps."""
        super().news(message)
        if isinstance(message, ChainChanged):
            self.hex.read_from(self._open())
            self.begin_strip()
            self._describe()
        elif isinstance(message, KnowledgeGrew) and self._stripping is None:
            self.begin_strip()

    def _describe(self) -> None:
        self._name_panes()
        if self.hex.view is None:
            self.crumbs.show(supply.crumbs(self.session, self.hex.guest, None), self.session.knowledge.findings)
            return
        guest = self.hex.guest
        if not self.hex.byte_count:
            self.supply.fail(ValueError(_EMPTY))
            self._show_facts(None)
            return
        extent = self.hex.reader.extent(guest)
        self.supply.show(guest, extent, self._bytes(extent))
        self.crumbs.show(supply.crumbs(self.session, guest, extent), self.session.knowledge.findings)
        self._show_facts(extent)

    def _show_facts(self, extent: Extent | None) -> None:
        facts = [f"guest {self.hex.guest}  sector {self.hex.at // 512:,}", f"{human_size(self.hex.byte_count)} disk"]
        word = word_of(extent) if extent is not None else ""
        if word:
            facts.insert(0, f"{CELLS[word]} {word}")
        self.status.show_facts(facts)

    def _bytes(self, extent: Extent | None) -> bytes:
        """Up to 8 bytes from the cursor on, as far as they are read and readable."""
        chunk = self.hex.reader.chunk(self.hex.at)
        if chunk is None or extent is None or word_of(extent):
            return b""
        inside = self.hex.at - chunk.start
        return chunk.data[inside : min(inside + 8, extent.guest.end - chunk.start)]

    def _name_panes(self) -> None:
        title = self.look.glyphs.text(self.session.state.title)
        self.hex.border_title = f"Guest {self.look.glyphs['dot']} {title}"
        self.supply.border_title = self.framed("Where it comes from")

    # -- what the panes say -----------------------------------------------------------------------------------

    def on_guest_chosen(self, message: GuestChosen) -> None:
        """The cursor moved, or bytes have come."""
        message.stop()
        if message.offset is None:
            self.hex.refresh()
        else:
            self.status.say("")
        self.call_later(self._describe)

    def on_follow_asked(self, message: FollowAsked) -> None:
        """A double click."""
        message.stop()
        self.action_follow()

    # -- actions ----------------------------------------------------------------------------------------------

    def action_follow(self) -> None:
        """To the entry that maps the byte."""
        place = supply.entries(self.session, self.hex.guest).last if self.hex.byte_count else None
        if place is None:
            self.status.say("no entry of this image's tables maps this byte")
        else:
            self.post_message(JumpAsked(Location(place.offset, place.node.path)))

    def action_swap(self) -> None:
        """To the host bytes."""
        extent = self.hex.reader.extent(self.hex.at)
        if extent is None:
            self.status.say("these bytes are still being read" if self.hex.byte_count else _EMPTY)
            return
        there = supply.host_location(self.session, self.hex.guest, extent)
        if isinstance(there, str):
            self.status.say(there)
        else:
            self.post_message(JumpAsked(there))

    # -- next and previous ------------------------------------------------------------------------------------

    @property
    def bytes_view(self) -> View | None:
        """The guest bytes."""
        return self.hex.view

    @property
    def bytes_at(self) -> int:
        """Guest offset of the cursor."""
        return self.hex.at

    @property
    def pane(self) -> BytesPane:
        """The bytes."""
        return self.hex

    def begin_strip(self) -> None:
        """None of other bytes than those in sight."""
        self.hex.show_strip(None)
        super().begin_strip()

    def work_on_strip(self, progress: TaskProgress) -> None:
        """What each part of the disk is."""
        if self.hex.view is not None:
            mapping.guest_strip(self.session, self.hex.view, progress, self.post_message)

    @property
    def bytes_name(self) -> str:
        """What is searched."""
        return f"the guest bytes, {self.session.state.title}"

    def place_at(self, offset: int, size: int, title: str) -> Location:
        """The location of ``size`` guest bytes."""
        state = self.session.state
        return Location(size=size, title=title, mode="guest", guest=GuestOffset(offset), state=state)

    @property
    def guest_at(self) -> int:
        """Guest offset of the cursor."""
        return self.hex.at

    def place_of_difference(self, offset: int) -> Location:
        """Here, if this disk is one of the two that are compared."""
        comparison, state = self.session.comparison, self.session.state
        if comparison is not None and any(side.is_ours and side.state == state for side in comparison.sides):
            return self.place_at(offset, 0, "")
        return super().place_of_difference(offset)

    def find_nearby(self, key: str, step: int) -> Location | None:
        """The next or previous thing that a key stands for."""
        view = self.hex.view
        return nearby.in_guest(self.session, view, self.here, key, step) if view is not None else None

    def find_slowly(self, key: str, step: int) -> Location | None:
        """Where the guest bytes begin to come from elsewhere."""
        return self.find_nearby(key, step)

    # -- panes ------------------------------------------------------------------------------------------------

    def action_next_pane(self) -> None:
        """To the other pane."""
        (self.supply if self.focused is self.hex and self.supply.display else self.hex).focus()

    def on_resize(self) -> None:
        """Names fit the frames."""
        self._name_panes()
