"""The passphrase of encrypted layers: typed unseen, tried in the background, forgotten at once.

Textual's own input tells its value in messages; this field keeps it to itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work
from textual.binding import Binding
from textual.containers import Vertical
from textual.widget import Widget

from qcow2inspect.errors import NeedsKey
from qcow2inspect.layout.structure import visible
from qcow2inspect.tui import states
from qcow2inspect.tui.dialogs.parts import Dialog, Notes, duration
from qcow2inspect.tui.tasks import opening
from qcow2inspect.tui.tasks.running import TaskProgress
from qcow2inspect.tui.theme import Ground
from qcow2inspect.tui.widgets.paint import strip

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult
    from textual.strip import Strip

    from qcow2inspect.errors import Qcow2InspectError
    from qcow2inspect.image.chain import Layer
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.opening import Unlocked
    from qcow2inspect.tui.tasks.running import Progressed, TaskFailed
    from qcow2inspect.tui.theme import Look

__all__ = ["PassphraseDialog", "Secret"]

_LONGEST = 4096


class Secret(Widget, can_focus=True):
    """A line of which only the length is shown.

    Args:
        look: colours and glyphs.
        id: Textual id.
    """

    ALLOW_SELECT = False
    BINDINGS = [
        Binding("backspace", "rub_out", "rub out", show=False),
        Binding("ctrl+u", "clear", "clear", show=False),
    ]

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.look = look
        self._typed = ""

    def take(self) -> bytes:
        """What was typed, in UTF-8; the field is empty afterwards."""
        typed = self._typed
        self.action_clear()
        return typed.encode("utf-8", "surrogateescape")

    @property
    def is_empty(self) -> bool:
        """True if nothing is typed."""
        return not self._typed

    def action_rub_out(self) -> None:
        """The last character is wrong."""
        self._typed = self._typed[:-1]
        self.refresh()

    def action_clear(self) -> None:
        """All of it is wrong."""
        self._typed = ""
        self.refresh()

    def on_key(self, event: events.Key) -> None:
        """Another character."""
        if event.is_printable and event.character:
            event.stop()
            event.prevent_default()
            self._add(event.character)

    def on_paste(self, event: events.Paste) -> None:
        """Many characters; what follows a line end is none of it."""
        event.stop()
        lines = event.text.splitlines()
        self._add(lines[0] if lines else "")

    def _add(self, text: str) -> None:
        self._typed = (self._typed + text)[:_LONGEST]
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """A sign for each character, and the cursor."""
        style = self.look.style("text", Ground.SELECTED)
        room = max(1, self.size.width - 3)
        signs = "*" * min(room, len(self._typed))
        line = [(f" {signs}", style), (" ", self.look.style("text", Ground.CURSOR))] if y == 0 else []
        return strip(line, self.size.width, style)


class PassphraseDialog(Dialog[None]):
    """Asks for a passphrase and tries it on all encrypted layers.

    Args:
        session: the image.
        look: colours and glyphs.
    """

    BINDINGS = [Binding("enter", "start", "try", show=False)]

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__()
        self.session = session
        self.look = look
        self.notes = Notes(look, id="layers")
        self.outcome = Notes(look, id="outcome")
        self.secret = Secret(look, id="secret")
        self._progress: TaskProgress | None = None

    def compose(self) -> ComposeResult:
        """The layers, the field, what came of it."""
        with Vertical(id="dialog"):
            yield self.notes
            yield self.secret
            yield self.outcome

    def on_mount(self) -> None:
        """Say what is encrypted."""
        self.entitle("Passphrase")
        self._renew()

    def _renew(self) -> None:
        notes = [self._note(index) for index, layer in enumerate(self.session.chain.layers) if layer.is_encrypted]
        self.notes.show(*notes or [("yes", "nothing is encrypted", "good")])
        self.secret.display = bool(notes)
        if self.secret.display and self._progress is None:
            self.secret.focus()
        self.offer("Enter unlock   Ctrl+U clear   Esc close" if notes else "Esc close")

    def _note(self, index: int) -> tuple[str, str, str]:
        layer = self.session.chain.layers[index]
        sign, role = ("encrypted", "warn") if states.is_locked(layer) else ("yes", "good")
        if states.unverified(layer):
            sign, role = "warning", "warn"
        method = layer.image.header.crypt_method.name if layer.image else ""
        return sign, f"layer {index}: {visible(layer.name)} ({method}, {states.key_words(layer)})", role

    def action_start(self) -> None:
        """Try it."""
        if self._progress is None and not self.secret.is_empty:
            self._progress = TaskProgress("unlock", self.post_message)
            self.outcome.show(("more", "trying the passphrase", "dim"))
            self.offer("Esc cancel")
            self._unlock(self.secret.take(), self._progress)

    @work(thread=True, exclusive=True, group="unlock", exit_on_error=False, name="unlock", description="unlock")
    def _unlock(self, passphrase: bytes, progress: TaskProgress) -> None:
        opening.unlock(self.session.chain, passphrase, progress, self.post_message)

    # -- what came of it --------------------------------------------------------------------------------------

    def on_progressed(self, message: Progressed) -> None:
        """Say which slot is tried, and for how long."""
        message.stop()
        if self._progress is not None:
            self.outcome.show(("more", f"{message.what}   {duration(message.seconds)}", "dim"))

    def on_unlocked(self, message: Unlocked) -> None:
        """Say which layers are readable now; the application tells the screens."""
        self._progress = None
        chain = self.session.chain
        notes = [_outcome(chain.layers[index], index, error) for index, error in message.results]
        self.outcome.show(*notes)
        self._renew()

    def on_task_failed(self, message: TaskFailed) -> None:
        """Cancelled, or worse."""
        message.stop()
        self._progress = None
        words = str(message.error) if message.error else "cancelled; nothing was unlocked by this passphrase"
        self.outcome.show(("no", words, "warn"))
        self._renew()

    def action_close(self) -> None:
        """Stop trying, else close."""
        if self._progress is not None:
            self._progress.stop()
            return
        self.secret.action_clear()
        self.leave(None)


def _outcome(layer: Layer, index: int, error: Qcow2InspectError | None) -> tuple[str, str, str]:
    """What the passphrase did to a layer: sign, text, role."""
    if isinstance(error, NeedsKey):
        return "no", f"layer {index}: wrong passphrase: {error}", "bad"
    if error is not None:
        return "no", f"layer {index}: {error}", "bad"
    if states.unverified(layer):
        words = "a legacy AES key cannot be verified: if the passphrase is wrong, the bytes are noise"
        return "warning", f"layer {index}: {words}", "warn"
    return "yes", f"layer {index}: unlocked", "good"
