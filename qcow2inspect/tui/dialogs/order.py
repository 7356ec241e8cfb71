"""What dialogs have in common that give an order to write a file: a target, the checks, the keys."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from textual import work

from qcow2inspect.output import HOW_TO_OPEN
from qcow2inspect.tui.dialogs.parts import Notes, TallDialog
from qcow2inspect.tui.exporting import Order, preflight
from qcow2inspect.tui.tasks.running import TaskProgress

if TYPE_CHECKING:
    from qcow2inspect.export.raw import Preflight
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.running import TaskFailed
    from qcow2inspect.tui.theme import Look

__all__ = ["OVERWRITE", "OrderDialog", "default_target", "in_keys"]

OVERWRITE = "overwrite an existing file"
"""What the choice is called that is ``--force`` on the command line."""


def default_target(image: str, suffix: str) -> str:
    """A path for what is made of ``image``: beside it, or in the working directory if nothing can be written there.

    A name that could steer a terminal is not taken over: the path stands in a field that shows it as it is.
    """
    folder, name = os.path.split(os.path.abspath(image))
    stem = name.removesuffix(".qcow2").removesuffix(".img") or name
    stem = "".join(letter if letter.isprintable() else "_" for letter in stem)
    beside = folder.isprintable() and os.access(folder, os.W_OK)
    return os.path.join(folder if beside else os.getcwd(), stem + suffix)


def in_keys(session: Session, words: str) -> str:
    """What to do, in terms of this dialog and of keys instead of options."""
    return words.replace(HOW_TO_OPEN, session.called("open_files")).replace("say --force", f"mark “{OVERWRITE}”")


class OrderDialog(TallDialog[Order | None]):
    """Asks what to write where; the result is an order whose checks are good, or None.

    Args:
        session: the image.
        look: colours and glyphs.
    """

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__()
        self.session = session
        self.look = look
        self.checks = Notes(look, id="checks")
        self._checking = TaskProgress("preflight", self.post_message)
        self._ready: Order | None = None

    def begin_checks(self) -> None:
        """Something else is asked for: what was checked counts no longer."""
        self._ready = None
        self.offer("Esc close")
        self._checking.stop()
        self._checking = TaskProgress("preflight", self.post_message)
        self.checks.show(("more", "checking", "dim"))

    def check(self, order: Order) -> None:
        """Check an order; the result comes as a message."""
        self._preflight(order, self._checking)

    @work(thread=True, exclusive=True, group="preflight", exit_on_error=False)
    def _preflight(self, order: Order, progress: TaskProgress) -> None:
        preflight(self.session.chain, order, progress, self.post_message)

    def outcome(self, result: Preflight) -> list[tuple[str, str, str]]:
        """The lines that say what the checks found."""
        lines = [("yes" if check.ok else "no", check.text, "text" if check.ok else "bad") for check in result.checks]
        return lines + [("warning", warning, "warn") for warning in result.warnings]

    def on_task_failed(self, message: TaskFailed) -> None:
        """Say why not."""
        message.stop()
        if message.error is not None:
            self.checks.show(("no", str(message.error), "bad"))

    def give(self, order: Order | None) -> None:
        """Close with an order, or with none."""
        self._checking.stop()
        self.leave(order)

    def action_close(self) -> None:
        """Write nothing."""
        self.give(None)
