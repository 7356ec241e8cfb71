"""Which bytes of the guest: the active state, a snapshot, its VM state, or what one file of the chain holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from textual.binding import Binding
from textual.containers import Vertical

from qcow2inspect.layout.structure import printable, visible
from qcow2inspect.tui import states
from qcow2inspect.tui.dialogs.choice import ChoiceList
from qcow2inspect.tui.dialogs.parts import Dialog
from qcow2inspect.tui.location import GuestState
from qcow2inspect.tui.widgets.paint import wrapped
from qcow2inspect.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.app import ComposeResult

    from qcow2inspect.format.snapshot import Snapshot
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["StatesDialog"]

_TEXT = 72
_WIDTHS = (4, 22, 21, 12, 12)
_HEADS = ("id", "name", "date", "disk size", "VM state")


class StatesDialog(Dialog[GuestState | None]):
    """Asks which state of the disk to look at; the result is the state, or None.

    Args:
        session: the image.
        look: colours and glyphs.
    """

    BINDINGS = [
        Binding("escape,S", "close", "close", show=False),
        Binding("o", "instead('open_files')", "open files", show=False),
        Binding("p", "instead('passphrase')", "passphrase", show=False),
    ]

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__()
        self.session = session
        self.look = look
        self.list: ChoiceList[GuestState] = ChoiceList(look, id="choices")

    def compose(self) -> ComposeResult:
        """The list."""
        with Vertical(id="dialog"):
            yield self.list

    def on_mount(self) -> None:
        """Fill it."""
        dialog = self.query_one("#dialog")
        dialog.border_title = "Look at"
        dialog.border_subtitle = "Enter look at it   o open files   p passphrase   Esc close"
        self.list.show(list(self._rows()), self.session.state)

    # -- rows -------------------------------------------------------------------------------------------------

    def _rows(self) -> Iterator[tuple[Line, GuestState | None]]:
        found = list(states.states_of(self.session.chain))
        style = self.look.style
        size = human_size(self.session.image.header.size)
        yield self._row("", "active state", "", size, "", role="strong"), found[0]
        snapshots = self.session.image.snapshots
        if snapshots:
            yield [], None
            yield self._row(*_HEADS, role="dim"), None
        for state in found:
            if state.kind == "snapshot":
                yield self._snapshot(snapshots[state.index]), state
            elif state.kind == "vm-state":
                what = f"VM state of {printable(snapshots[state.index].id)}"
                size = human_size(snapshots[state.index].vm_state_size)
                yield self._row("", f"{self.look.glyphs['last']} {what}", "", "", size), state
        layers = [state for state in found if state.kind == "layer"]
        if layers:
            yield [], None
            yield [(" what one file alone holds; the rest reads as zeros, and says so", style("dim"))], None
        for state in layers:
            yield from self._layer(state)

    def _row(self, *cells: str, role: str = "text") -> Line:
        line: Line = [(" ", self.look.style(role))]
        for cell, width in zip(cells, _WIDTHS, strict=True):
            text = self.look.glyphs.text(cell)
            if cell_len(text) >= width:
                more = self.look.glyphs["more"]
                text = set_cell_size(text, width - 1 - cell_len(more)) + more
            line.append((set_cell_size(text, width), self.look.style(role)))
        return line

    def _snapshot(self, snapshot: Snapshot) -> Line:
        size = self.session.image.header.size if snapshot.disk_size is None else int(snapshot.disk_size)
        memory = human_size(snapshot.vm_state_size) if snapshot.vm_state_size else "none"
        name, date = printable(snapshot.name), states.date_words(snapshot)
        return self._row(printable(snapshot.id), name, date, human_size(size), memory)

    def _layer(self, state: GuestState) -> Iterator[tuple[Line, GuestState | None]]:
        chain, style = self.session.chain, self.look.style
        layer = chain.layers[state.index]
        words = f"{states.base_name(layer)}  "
        line: Line = [(f" {state.index:<4}", style("text")), (self.look.glyphs.text(words), style("text"))]
        yield [*line, (self.look.glyphs.text(states.layer_words(layer)), style("dim"))], state
        if layer.end is not None:
            sign = self.look.glyphs["warning"]
            for number, part in enumerate(wrapped(self.look.glyphs.text(visible(layer.end.what)), _TEXT)):
                yield [(f"     {sign if number == 0 else ' '} {part}", style("warn"))], None

    # -- end --------------------------------------------------------------------------------------------------

    def on_choice_list_chosen(self, message: ChoiceList.Chosen) -> None:
        """Look at it."""
        message.stop()
        if isinstance(message.value, GuestState):
            self.leave(message.value)

    async def action_instead(self, action: str) -> None:
        """Another dialog in place of this one."""
        self.leave(None)
        self.app.call_later(self.app.run_action, action, self.app)

    def action_close(self) -> None:
        """Stay."""
        self.leave(None)
