"""The files that an image names: what would be opened, why it is not, and the user's word on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from textual import work
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.layout.structure import visible
from qcow2inspect.tui import states
from qcow2inspect.tui.dialogs.parts import Dialog, Notes, Toggle
from qcow2inspect.tui.tasks import opening

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from qcow2inspect.image.chain import Chain
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.states import Wanted
    from qcow2inspect.tui.tasks.opening import Followed
    from qcow2inspect.tui.tasks.running import TaskFailed
    from qcow2inspect.tui.theme import Look

__all__ = ["FilesDialog"]


class FilesDialog(Dialog[None]):
    """Opens what the image names, where the user allows it.

    Args:
        session: the image.
        look: colours and glyphs.
    """

    BINDINGS = [Binding("enter", "start", "open", show=False)]

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__()
        self.session = session
        self.look = look
        self.files = Notes(look, id="files")
        self.outcome = Notes(look, id="outcome")
        self._busy = False

    def compose(self) -> ComposeResult:
        """What is missing, where it is, what is allowed."""
        follow = self.session.gate.follow if self.session.gate else Follow.NONE
        with Vertical(id="dialog"):
            yield self.files
            yield Input(placeholder="its path, if it lies elsewhere now", id="place")
            text = "open regular files below the image's own folder"
            yield Toggle(self.look, text, value=follow is Follow.FOLDER, id="folder")
            yield Toggle(self.look, "open any regular file that an image names", value=follow is Follow.ANY, id="any")
            yield self.outcome

    def on_mount(self) -> None:
        """Say what is missing."""
        self.entitle("Files that the image names")
        self._show(self.session.chain)

    def _show(self, chain: Chain) -> None:
        missing = states.wanted(chain)
        notes = [note for index, layer in enumerate(chain.layers) for note in _layer_notes(index, layer.name, chain)]
        self.files.show(*notes)
        for widget in self.query("Input, Toggle"):
            widget.display = bool(missing)
        if missing:
            self.query_one(Input).border_title = ""
            self.offer("Enter open   Tab next   Space change   Esc close")
        else:
            self.outcome.show(("yes", _nothing_missing(chain), "good"))
            self.offer("Esc close")

    @property
    def first(self) -> Wanted | None:
        """The file that a typed path stands for."""
        return next(iter(states.wanted(self.session.chain)), None)

    # -- what the user says -----------------------------------------------------------------------------------

    def on_toggle_changed(self, event: Toggle.Changed) -> None:
        """One of the two, or none."""
        event.stop()
        other = self.query_one("#any" if event.toggle.id == "folder" else "#folder", Toggle)
        if event.toggle.value and other.value:
            other.value = False
            other.refresh()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the path opens."""
        event.stop()
        self.action_start()

    def action_start(self) -> None:
        """Open what is allowed."""
        first = self.first
        if self._busy or first is None:
            return
        gate = self._gate(first)
        if gate.follow is Follow.NONE and not gate.places:
            self.outcome.show(("no", "say where the file lies now, or allow what the image names", "warn"))
            return
        self._busy = True
        self.outcome.show(("more", "opening", "dim"))
        self._follow(gate)

    def _gate(self, first: Wanted) -> OpenGate:
        """What the user allows: with what was said before."""
        before = self.session.gate or OpenGate()
        place = os.path.expanduser(self.query_one(Input).value)
        places = {**before.places, **({first.named.stored: place} if place else {})}
        allowed = Follow.NONE
        for follow in (Follow.FOLDER, Follow.ANY):
            if self.query_one(f"#{follow.value}", Toggle).value:
                allowed = follow
        return OpenGate(allowed, places)

    @work(thread=True, exclusive=True, group="files", exit_on_error=False)
    def _follow(self, gate: OpenGate) -> None:
        self.session.gate = gate
        opening.follow(self.session.image, gate, self.session.chain, self.post_message)

    # -- what came of it --------------------------------------------------------------------------------------

    def on_followed(self, message: Followed) -> None:
        """Show what is open now; the application takes the chain."""
        self._busy = False
        before = len(states.wanted(self.session.chain))
        first = self.first
        self.session.take(message.chain)
        self.outcome.show()
        self._show(message.chain)
        now = self.first
        if now is not None and first is not None and now.named == first.named and before:
            self.outcome.show(("no", now.error.what, "bad"))
        elif now is not None:
            self.query_one(Input).value = ""

    def on_task_failed(self, message: TaskFailed) -> None:
        """Say why not."""
        message.stop()
        self._busy = False
        self.outcome.show(("no", str(message.error) if message.error else "stopped", "bad"))

    def action_close(self) -> None:
        """Back to the screen."""
        self.leave(None)


def _layer_notes(index: int, name: str, chain: Chain) -> list[tuple[str, str, str]]:
    """A layer, and what it names that is not open: sign, text, role."""
    layer = chain.layers[index]
    notes = [("yes", f"layer {index}: {visible(name)} ({states.layer_words(layer)})", "text")]
    for want in states.wanted(chain):
        if want.layer == index:
            notes.append(("warning", f"its {want.role}: “{want.named.stored}”", "warn"))
            notes.append(("", f"  {_what_it_is(want, name)}", "dim"))
    return notes


def _what_it_is(want: Wanted, beside: str) -> str:
    """What would be opened, and why it is not."""
    named = want.named
    if named.path is None:
        return f"names {named.why_not}, which is never opened; say where the data lies now"
    path = visible(os.path.join(os.path.dirname(beside), named.path))
    stated = f", as {named.format}" if named.format else ""
    return f"would open {path}{stated}; {states.file_words(want.error)}"


def _nothing_missing(chain: Chain) -> str:
    if len(chain.layers) == 1 and chain.layers[0].data_file is None:
        return "the image names no other file"
    return "all files that the image names are open"
