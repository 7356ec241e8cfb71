"""Goto: an address, and where it leads while it is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui import describe, tasks
from qcow2inspect.tui.dialogs.parts import Dialog, Notes
from qcow2inspect.tui.location import Location
from qcow2inspect.units import GuestOffset, human_size, parse_size

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from qcow2inspect.image.address import Place
    from qcow2inspect.tui.messages import Resolved
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.theme import Look

__all__ = ["GotoDialog"]

_EXAMPLES = "0x8a0000   c138   G0x10000   hdr.l1_table_offset   L1[0].L2[5].data   ref[4]   snap[0]"
_IN_GUEST = "0x10000   1GiB   G64K   or a structure: L1[0].L2[5]   snap[0]"


class GotoDialog(Dialog[Location | None]):
    """Asks for an address; the result is the location, or None.

    Args:
        session: the image.
        look: colours and glyphs.
        in_guest: numbers and ``G...`` are guest offsets of the state that is looked at.
    """

    BINDINGS = [Binding("escape", "close", "close", show=False)]

    def __init__(self, session: Session, look: Look, *, in_guest: bool = False) -> None:
        super().__init__()
        self._in_guest = in_guest
        self.session = session
        self.look = look
        self.notes = Notes(look)
        self._resolved: Resolved | None = None
        self._go_on = False

    def compose(self) -> ComposeResult:
        """Input and preview."""
        with Vertical(id="dialog", classes="low"):
            yield Input(placeholder="an offset or a structure", id="address")
            yield self.notes

    def on_mount(self) -> None:
        """Say what can be typed."""
        state = f" in the guest, {self.session.state.title}" if self._in_guest else ""
        self.query_one("#dialog").border_title = f"Goto{state}"
        self.query_one("#dialog").border_subtitle = "Enter go   Esc close"
        self.notes.show(("", self._examples, "dim"))

    @property
    def _examples(self) -> str:
        return _IN_GUEST if self._in_guest else _EXAMPLES

    def on_input_changed(self, event: Input.Changed) -> None:
        """Look it up while it is typed."""
        event.stop()
        self._go_on = False
        offset = self._guest_offset(event.value)
        if offset is not None:
            self._preview_guest(offset)
        elif event.value.strip():
            self._look_up(event.value)
        else:
            self.notes.show(("", self._examples, "dim"))

    def _guest_offset(self, text: str) -> GuestOffset | None:
        """The guest offset that ``text`` means; None if it means something else, or this is the host view."""
        text = text.strip()
        if not self._in_guest or not text:
            return None
        try:
            return GuestOffset(parse_size(text[1:] if text[0] in "gG" else text))
        except ValueError:
            return None

    def _preview_guest(self, offset: GuestOffset) -> None:
        notes = [("data", f"guest {offset}  decimal {int(offset):,}  at {human_size(int(offset))}", "text")]
        if offset >= self._guest_size:
            notes.append(("warning", f"past the end of the disk, which has {self._guest_size:,} bytes", "warn"))
        self.notes.show(*notes)

    @property
    def _guest_size(self) -> int:
        try:
            return self.session.view().size
        except (ValueError, Qcow2InspectError):
            return 0

    @work(thread=True, exclusive=True, group="goto", exit_on_error=False)
    def _look_up(self, text: str) -> None:
        tasks.look_up(self.session.tree, text, self.post_message)

    def on_resolved(self, message: Resolved) -> None:
        """Show where it leads, if this is still what is typed."""
        message.stop()
        if message.text != self.query_one(Input).value:
            return
        self._resolved = message
        if message.place is None:
            self.notes.show(("no", message.problem, "warn"))
        else:
            self._preview(message.place)
        if self._go_on:
            self._go()

    def _preview(self, place: Place) -> None:
        node, image = place.node, self.session.image
        role = node.state if self.look.glyphs.has(node.state) else node.kind
        words = f"{describe.title(node)}  {node.shown}".rstrip()
        cluster = place.offset >> image.geometry.cluster_bits
        where = f"host {place.offset}  cluster {cluster:,}  decimal {int(place.offset):,}"
        past = place.offset >= image.end
        notes = [(role, words, "text"), ("", f"  {where}", "dim")]
        if node.guest is not None:
            notes.append(("", f"  guest {node.guest.start}  at {human_size(int(node.guest.start))}", "dim"))
        if past:
            notes.append(("warning", f"past the end of the file, which has {int(image.end):,} bytes", "warn"))
        self.notes.show(*notes)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go there, as soon as it is known where that is."""
        event.stop()
        offset = self._guest_offset(event.value)
        if offset is not None:
            if offset < self._guest_size:
                self.leave(Location(mode="guest", guest=offset, state=self.session.state))
        elif self._resolved is not None and self._resolved.text == event.value:
            self._go()
        else:
            self._go_on = True

    def _go(self) -> None:
        place = self._resolved.place if self._resolved else None
        if place is not None and place.offset < self.session.image.end:
            self.leave(Location(place.offset, place.node.path))

    def action_close(self) -> None:
        """Stay."""
        self.leave(None)
