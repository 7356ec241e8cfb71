"""Goto: an address, and where it leads while it is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui import describe
from qcow2inspect.tui.dialogs.parts import Dialog, Notes, common_start
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.tasks import searching
from qcow2inspect.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.app import ComposeResult

    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.searching import Resolved
    from qcow2inspect.tui.theme import Look

__all__ = ["GotoDialog"]

_EXAMPLES = (
    "0x8a0000   c138   +3c   G0x10000   hdr.l1_table_offset   L1[0].L2[5].data   ref[4]   snap[0]",
    "@active G1GiB   @snap[0] G0   'a   QCOW-HDR-DIRTY   map: 0x30000   $",
)
_IN_GUEST = ("0x10000   1GiB   +1s   Gc5   @snap[0] G64K   or a structure: L1[0].L2[5]   hdr.size",)
_SHOWN = 8


class GotoDialog(Dialog[Location | None]):
    """Asks for an address; the result is the location, or None.

    Args:
        session: the image.
        look: colours and glyphs.
        here: where the user is: in the guest, numbers are guest offsets of the state that is looked at.
    """

    BINDINGS = [
        Binding("tab", "complete", "complete", show=False, priority=True),
        Binding("up", "recall(-1)", "before", show=False, priority=True),
        Binding("down", "recall(1)", "after", show=False, priority=True),
    ]

    def __init__(self, session: Session, look: Look, here: Location) -> None:
        super().__init__()
        self.session = session
        self.look = look
        self.notes = Notes(look)
        self._here = here
        self._resolved: Resolved | None = None
        self._go_on = False
        self._listed = ("", "")
        self._recalled = len(session.typed)

    def compose(self) -> ComposeResult:
        """Input and preview."""
        with Vertical(id="dialog", classes="low"):
            yield Input(placeholder="an offset or a structure", id="address")
            yield self.notes

    def on_mount(self) -> None:
        """Say what can be typed."""
        state = f" in the guest, {self.session.state.title}" if self._here.mode == "guest" else ""
        self.entitle(self.look.glyphs.text(f"Goto{state}"))
        self.offer("Enter go   Esc close")
        self._help()

    def _help(self) -> None:
        examples = _IN_GUEST if self._here.mode == "guest" else _EXAMPLES
        again = f"Enter goes {self.session.last_step} again   " if self.session.last_step else ""
        keys = f"Tab completes   {self.look.glyphs['up']} what was typed before"
        self.notes.show(*(("", line, "dim") for line in (*examples, again + keys)))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Look it up while it is typed."""
        event.stop()
        self._go_on = False
        if event.value.strip():
            self._look_up(event.value)
        else:
            self._help()

    @work(thread=True, exclusive=True, group="goto", exit_on_error=False)
    def _look_up(self, text: str) -> None:
        searching.look_up(self.session, text, self._here, self.post_message)

    def on_resolved(self, message: Resolved) -> None:
        """Show where it leads, if this is still what is meant."""
        message.stop()
        if message.text != self._meant:
            return
        self._resolved = message
        if message.location is None and message.text == self._listed[0]:
            self.notes.show(("", self._listed[1], "dim"))
        elif message.location is None:
            self.notes.show(("no", message.problem, "warn"))
        else:
            self.notes.show(*self._preview(message.location))
        if self._go_on:
            self._go_on = False
            self._go()

    @property
    def deciding(self) -> bool:
        """True while Enter waits to know where the address leads: keys after it are for that place."""
        return self._go_on

    @property
    def _meant(self) -> str:
        """What is typed; the last relative step if nothing is."""
        text = self.query_one(Input).value
        return text if text.strip() else self.session.last_step

    # -- preview ----------------------------------------------------------------------------------------------

    def _preview(self, there: Location) -> Iterator[tuple[str, str, str]]:
        if there.mode == "guest":
            guest = int(there.guest or 0)
            yield "data", f"guest {guest:#x}  decimal {guest:,}  at {human_size(guest)}", "text"
            yield "", f"  {there.state.title}, sector {guest // 512:,}", "dim"
        elif there.mode in ("explore", "map"):
            yield from self._preview_host(there)
        else:
            yield "", f"the {there.mode} screen", "text"

    def _preview_host(self, there: Location) -> Iterator[tuple[str, str, str]]:
        place = self.session.place(there.path) if there.path else None
        node = place.node if place else self.session.locate(there.offset)
        if node is not None:
            role = node.state if self.look.glyphs.has(node.state) else node.kind
            yield role, f"{describe.title(node)}  {node.shown}".rstrip(), "text"
        cluster = there.offset >> self.session.image.geometry.cluster_bits
        yield "", f"  host {there.offset}  cluster {cluster:,}  decimal {int(there.offset):,}", "dim"
        owner = self.session.owner(there.offset, node)
        if owner is not None and not owner.purpose.explained:
            yield "warning", owner.words, "warn"
        if node is not None and node.guest is not None:
            yield "", f"  guest {node.guest.start}  at {human_size(int(node.guest.start))}", "dim"

    # -- keys -------------------------------------------------------------------------------------------------

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go there, as soon as it is known where that is."""
        event.stop()
        if self._resolved is not None and self._resolved.text == self._meant:
            self._go()
        elif self._meant:
            self._go_on = True
            if not event.value.strip():
                self._look_up(self._meant)

    def _go(self) -> None:
        there = self._resolved.location if self._resolved else None
        if there is None or self._resolved is None:
            return
        self.session.remember(self._resolved.text.strip())
        self.leave(there)

    def action_complete(self) -> None:
        """Complete what is typed as far as it is certain, and list how it may go on."""
        from qcow2inspect.tui.places import completions

        field = self.query_one(Input)
        try:
            words = completions(self.session, field.value)
        except (ValueError, Qcow2InspectError):
            words = []
        if not words:
            self.notes.show(("", "nothing continues this", "dim"))
            return
        field.value = common_start(words)
        field.cursor_position = len(field.value)
        more = f"   and {len(words) - _SHOWN:,} more" if len(words) > _SHOWN else ""
        self._listed = (field.value, "   ".join(words[:_SHOWN]) + more)
        self.notes.show(("", self._listed[1], "dim"))

    def action_recall(self, step: int) -> None:
        """What was typed before."""
        typed = self.session.typed
        self._recalled = max(0, min(len(typed), self._recalled + step))
        field = self.query_one(Input)
        field.value = typed[self._recalled] if self._recalled < len(typed) else ""
        field.cursor_position = len(field.value)

    def action_close(self) -> None:
        """Stay."""
        self.leave(None)
