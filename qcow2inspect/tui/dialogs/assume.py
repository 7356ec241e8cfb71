"""Assumptions: what shall be taken to stand where the metadata is damaged; the evidence is never written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from qcow2inspect.errors import BadAddress, Qcow2InspectError
from qcow2inspect.image.assumed import Assumptions
from qcow2inspect.layout.structure import visible
from qcow2inspect.progress import Cancelled
from qcow2inspect.tui.dialogs.parts import Dialog, Notes
from qcow2inspect.tui.tasks.running import TaskProgress, step_back

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from textual.app import ComposeResult

    from qcow2inspect.source.protocol import Source
    from qcow2inspect.tui.tasks.running import Progressed
    from qcow2inspect.tui.theme import Look

__all__ = ["AssumeDialog", "Worked", "work_out"]

_EXAMPLES = (
    "auto works out what must be assumed; the whole file is read for it",
    "or fields and entries: cluster_bits=16   size=64GiB   L1[3]=0x50000",
    "nothing is written: the file is read as if these bytes stood in it",
)
_SHOWN = 8


class Worked(Message):
    """What was asked to be assumed was looked at.

    Attributes:
        text: as it was typed.
        assumed: what it means; None if it means nothing.
        problem: why not, or why the image cannot be opened all the same; empty if it can.
    """

    def __init__(self, text: str, assumed: Assumptions | None, problem: str = "") -> None:
        super().__init__()
        self.text = text
        self.assumed = assumed
        self.problem = problem


def work_out(source: Source, text: str, progress: TaskProgress) -> Worked:
    """What ``text`` asks to assume of the image in ``source``, and whether it can be opened then.

    Raises:
        CannotRead: the file cannot be read.
        Cancelled: the user asked to stop.
    """
    from qcow2inspect.image.assume import read_assumptions
    from qcow2inspect.image.image import Image

    words = text.replace(",", " ").split()
    try:
        found = read_assumptions(source, [word for word in words if word != "auto"])
        if "auto" in words:
            from qcow2inspect.recover.propose import propose

            found = propose(source, found, progress)
    except (BadAddress, Qcow2InspectError) as error:
        return Worked(text, None, str(error).replace("--assume: ", ""))
    try:
        Image(source, found)
    except Qcow2InspectError as error:
        return Worked(text, found, f"the image cannot be opened with this: {error}")
    return Worked(text, found)


class AssumeDialog(Dialog[Assumptions | None]):
    """Asks what shall be assumed; the result is that, once the image can be opened with it, or None.

    Args:
        look: colours and glyphs.
        source: gives the bytes of the image.
        given: what is assumed already.
    """

    def __init__(self, look: Look, source: Callable[[], AbstractContextManager[Source]], given: Assumptions) -> None:
        super().__init__()
        self.look = look
        self.notes = Notes(look)
        self._source = source
        self._given = given
        self._worked: Worked | None = None
        self._working: TaskProgress | None = None

    def compose(self) -> ComposeResult:
        """What to assume; what that means."""
        words = [one.option for one in self._given.all if not one.why]
        automatic = not self._given or any(one.why for one in self._given.all)
        with Vertical(id="dialog"):
            yield Input(" ".join([*words, *(["auto"] if automatic else [])]), id="assumed", select_on_focus=False)
            yield self.notes

    def on_mount(self) -> None:
        """Say what can be typed."""
        self.entitle("Assume")
        self._ask()

    def _ask(self) -> None:
        self._worked = None
        self.offer("Enter look what it means   Esc close")
        self.notes.show(*(("", line, "dim") for line in _EXAMPLES))

    @property
    def busy(self) -> bool:
        """True while the file is read for it."""
        return self._working is not None

    def on_input_changed(self, event: Input.Changed) -> None:
        """Another text: nothing is known about it yet."""
        event.stop()
        self._stop()
        self._ask()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Find out what it means; open the image with it once that was seen."""
        event.stop()
        found = self._worked
        if found is not None and found.text == event.value and found.assumed is not None and not found.problem:
            self.leave(found.assumed)
        elif self._working is None:
            self._working = TaskProgress("assume", self.post_message)
            self.notes.show(("more", "reading the file", "dim"))
            self._work(event.value, self._working)

    @work(thread=True, exclusive=True, group="assume", exit_on_error=False)
    def _work(self, text: str, progress: TaskProgress) -> None:
        step_back()
        try:
            with self._source() as source:
                self.post_message(work_out(source, text, progress))
        except Cancelled:
            self.post_message(Worked("", None, "stopped"))
        except Qcow2InspectError as error:
            self.post_message(Worked(text, None, str(error)))

    def on_progressed(self, message: Progressed) -> None:
        """Say how far it is."""
        message.stop()
        if self._working is not None and message.task == "assume":
            part = f"   {100 * message.done // message.total} %" if message.total else ""
            self.notes.show(("more", f"{message.what}{part}", "dim"))

    def on_worked(self, message: Worked) -> None:
        """Show every assumption with what is stored there and what speaks for it."""
        message.stop()
        self._working = None
        if message.text != self.query_one("#assumed", Input).value:
            return
        self._worked = message
        found = message.assumed.all if message.assumed is not None else ()
        notes = [("warning", f"ASSUMED {visible(str(one))}", "warn") for one in found[:_SHOWN]]
        notes += [("more", f"and {len(found) - _SHOWN:,} more", "dim")] if len(found) > _SHOWN else []
        if message.problem:
            notes.append(("no", visible(message.problem), "bad"))
        elif not found:
            notes.append(("yes", "nothing has to be assumed: Enter opens the image as it is stored", "text"))
        self.notes.show(*notes)
        is_good = not message.problem
        self.offer("Enter open it so   Esc close" if is_good else "Esc close")

    def _stop(self) -> None:
        if self._working is not None:
            self._working.stop()
            self._working = None

    def action_close(self) -> None:
        """Assume nothing more."""
        self._stop()
        self.leave(None)
