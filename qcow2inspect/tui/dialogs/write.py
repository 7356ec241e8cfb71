"""Write bytes that are selected to a file of their own, with the care of any export."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from qcow2inspect.tui.dialogs.order import OrderDialog, default_target, in_keys
from qcow2inspect.tui.dialogs.parts import Caption
from qcow2inspect.tui.exporting import command_of

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from qcow2inspect.tui.exporting import Order, Preflighted
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.running import TaskFailed
    from qcow2inspect.tui.theme import Look

__all__ = ["WriteDialog"]


_NEW = "choose another name: nothing that is there is ever replaced here"


class WriteDialog(OrderDialog):
    """Asks where to write bytes; the result is the order, or None.

    Args:
        session: the image.
        look: colours and glyphs.
        order: which bytes; its target may be empty.
    """

    def __init__(self, session: Session, look: Look, order: Order) -> None:
        super().__init__(session, look)
        self._asked = order
        self._waits = False

    def compose(self) -> ComposeResult:
        """Where to; then the checks."""
        chain = self._asked.chain or self.session.chain
        target = self._asked.target or default_target(chain.layers[0].name, _suffix(self._asked))
        with Vertical(id="dialog", classes="form"):
            with Horizontal(classes="field"):
                yield Caption(self.look, "to")
                yield Input(target, placeholder="path of a new file", id="target", select_on_focus=False)
            yield self.checks

    def on_mount(self) -> None:
        """Say what is written, and check the target."""
        words = self._asked.title.removeprefix("export of ")
        self.entitle(self.look.glyphs.text(f"Write {words}"))
        self._check()

    @property
    def order(self) -> Order:
        """What is asked for."""
        return replace(self._asked, target=os.path.expanduser(self.query_one("#target", Input).value))

    @property
    def deciding(self) -> bool:
        """True while Enter waits for the checks."""
        return self._waits

    # -- checks -----------------------------------------------------------------------------------------------

    def on_input_changed(self, event: Input.Changed) -> None:
        """Another target: check again."""
        event.stop()
        self._check()

    def _check(self) -> None:
        self.begin_checks()
        if self.order.target:
            self.check(self.order)

    def on_preflighted(self, message: Preflighted) -> None:
        """Show the checks and the command line that does the same."""
        message.stop()
        if message.order != self.order:
            return
        result = message.result
        notes = [(sign, text.replace("disk of", "file of"), role) for sign, text, role in self.outcome(result)]
        if result.problem is None:
            self._ready = message.order
            self.offer("Enter write   Esc close")
            notes.append(("points", shlex.join(command_of(self.session, message.order)), "dim"))
        else:
            hint = result.problem.hint
            notes.append(("points", _NEW if "--force" in hint or not hint else in_keys(self.session, hint), "key"))
        self.checks.show(*notes)
        self._go_on()

    def on_task_failed(self, message: TaskFailed) -> None:
        """Nothing more is to be waited for; why, the class above says."""
        if message.error is not None:
            self._go_on()

    def _go_on(self) -> None:
        if self._waits:
            self._waits = False
            self._give()

    # -- end --------------------------------------------------------------------------------------------------

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Give the order, as soon as the checks are good."""
        event.stop()
        if self._ready is None and self.checks.text == "checking":
            self._waits = True
        else:
            self._give()

    def _give(self) -> None:
        """Give the order, if the checks are good."""
        if self._ready is not None and self._ready == self.order:
            self.give(self._ready)


def _suffix(order: Order) -> str:
    """What the name of the file ends with: which bytes they are."""
    within = order.choices.within
    where = order.address if within is None else f"{order.state.kind}-{int(within.start):#x}-{within.size}"
    return "." + "".join(letter if letter.isalnum() or letter == "-" else "_" for letter in where).strip("_") + ".bin"
