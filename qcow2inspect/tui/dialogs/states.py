"""Which bytes of the guest: the active state, a snapshot, its VM state, or what one file of the chain holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from textual import work
from textual.binding import Binding
from textual.containers import Vertical

from qcow2inspect.layout.structure import printable, visible
from qcow2inspect.tui import states
from qcow2inspect.tui.dialogs.choice import ChoiceList
from qcow2inspect.tui.dialogs.parts import Dialog, Notes
from qcow2inspect.tui.location import GuestState
from qcow2inspect.tui.tasks import searching
from qcow2inspect.tui.tasks.running import TaskProgress
from qcow2inspect.tui.widgets.paint import wrapped
from qcow2inspect.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.app import ComposeResult

    from qcow2inspect.format.snapshot import Snapshot
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.running import Progressed, TaskFailed
    from qcow2inspect.tui.tasks.searching import ResiduesFound
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
        Binding("S", "close", "close", show=False),
        Binding("o", "instead('open_files')", "open files", show=False),
        Binding("p", "instead('passphrase')", "passphrase", show=False),
        Binding("r", "residues", "look for residues", show=False),
    ]

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__()
        self.session = session
        self.look = look
        self.list: ChoiceList[GuestState] = ChoiceList(look, id="choices")
        self.found = Notes(look, id="found")
        self._looking: TaskProgress | None = None

    def compose(self) -> ComposeResult:
        """The list."""
        with Vertical(id="dialog"):
            yield self.list
            yield self.found

    def on_mount(self) -> None:
        """Fill it."""
        self.entitle("Look at")
        self._renew()

    def _renew(self) -> None:
        more = "   r residues" if self.session.residues is None else ""
        keys = f"Enter look at it   o files   p passphrase{more}   Esc close"
        self.offer(keys)
        self.list.show(list(self._rows()), self.session.state)

    # -- residues ---------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """True while residues are looked for."""
        return self._looking is not None

    def action_residues(self) -> None:
        """Look for bytes that no guest sees."""
        if self.session.residues is None and self._looking is None:
            self._looking = TaskProgress("residues", self.post_message)
            self.found.show(("more", "looking for bytes that no guest sees", "dim"))
            self._look(self._looking)

    @work(thread=True, exclusive=True, group="residues", exit_on_error=False)
    def _look(self, progress: TaskProgress) -> None:
        with self.session.log.running("looking for residues", progress, self.post_message) as post:
            searching.find_residues(self.session, progress, post)

    def on_progressed(self, message: Progressed) -> None:
        """Say how far it is."""
        message.stop()
        if message.task == "residues" and self._looking is not None:
            part = f"   {100 * message.done // message.total} %" if message.total else ""
            self.found.show(("more", f"{message.what}{part}", "dim"))

    def on_residues_found(self, message: ResiduesFound) -> None:
        """Offer them."""
        message.stop()
        self._looking = None
        self.session.residues = message.states
        self.found.show(*([] if message.states else [("yes", "there are no bytes that no guest sees", "text")]))
        self._renew()
        if message.states:
            self.list.choose(message.states[0])

    def on_task_failed(self, message: TaskFailed) -> None:
        """Say why not."""
        message.stop()
        if message.task == "residues":
            self._looking = None
            self.found.show(("no", str(message.error or "stopped"), "bad" if message.error else "warn"))

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
        if self.session.residues:
            yield [], None
            yield [(" residues: bytes of the file that no guest sees", style("dim"))], None
        for state in self.session.residues or ():
            yield self._residue(state), state

    def _residue(self, state: GuestState) -> Line:
        """Name, size, what it is."""
        from qcow2inspect.survey.residues import KINDS

        glyphs, style = self.look.glyphs, self.look.style
        size = human_size(sum(part.size for part in state.parts))
        line: Line = [(f"     {state.residue:<17}", style("text")), (f"{size:>10}  ", style("text"))]
        room = _TEXT - 35
        words = glyphs.text(KINDS[state.residue])
        if cell_len(words) > room:
            words = set_cell_size(words, room - cell_len(glyphs["more"])) + glyphs["more"]
        return [*line, (words, style("dim"))]

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
        self._stop()
        if isinstance(message.value, GuestState):
            self.leave(message.value)

    async def action_instead(self, action: str) -> None:
        """Another dialog in place of this one."""
        self._stop()
        self.leave(None)
        self.app.call_later(self.app.run_action, action, self.app)

    def action_close(self) -> None:
        """Stop looking for residues, or stay."""
        if self._looking is not None:
            self._stop()
        else:
            self.leave(None)

    def _stop(self) -> None:
        if self._looking is not None:
            self._looking.stop()
