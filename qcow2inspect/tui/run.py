"""From a path to the interface, and again when other things shall be assumed of the image."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.image.assumed import NOTHING_ASSUMED
from qcow2inspect.image.image import Image
from qcow2inspect.tui.app import InspectApp
from qcow2inspect.tui.session import Session

if TYPE_CHECKING:
    from qcow2inspect.case import Case
    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.image.gate import OpenGate
    from qcow2inspect.tui.base import BaseApp
    from qcow2inspect.tui.theme import Look

__all__ = ["run"]

_TURN = 0.0005
"""Seconds after which a thread that works in Python lets the one that paints go on; a paint needs several turns."""


def run(
    path: str,
    gate: OpenGate | None = None,
    passphrase: bytes | None = None,
    assumed: Assumptions = NOTHING_ASSUMED,
    case: Case | None = None,
    *,
    look: Look | None = None,
) -> int:
    """Inspect the image at ``path`` on the terminal.

    Args:
        path: the image.
        gate: which of the files that it names may be opened, after the first paint; none if None.
        passphrase: what unlocks it.
        assumed: what is taken to stand in its metadata.
        case: where what is done is kept; nowhere if None.
        look: colours and glyphs; those of the terminal by default.

    Returns:
        0, or the exit code of the error if the file cannot be inspected.
    """
    sys.setswitchinterval(_TURN)
    before: Session | None = None
    app: BaseApp
    while True:
        code = 0
        try:
            session = Session.of(Image.open(path, assumed), gate)
        except Qcow2InspectError as error:
            from qcow2inspect.tui.failure import FailureApp

            app, code = FailureApp(path, error, look, assumed), error.exit_code
            app.run()
        else:
            session.case = case
            if before is not None:
                session.go_on_from(before)
            app = InspectApp(session, look, passphrase=passphrase)
            _show(app, session)
            before, gate = session, session.gate
        if app.reopen is None:
            return code
        assumed, look = app.reopen, app.look


def _show(app: InspectApp, session: Session) -> None:
    """Run the interface on an open image, which is closed in the end; the case keeps the marks."""
    try:
        app.run()
        if session.case is not None:
            from qcow2inspect.tui.notes import marks_of

            session.case.remember((), marks_of(session))
    finally:
        session.close()
