"""What the interface adds to the log of a case: lines like those of the command line, which replay does again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qcow2inspect.case import Kept
    from qcow2inspect.tui.session import Session

__all__ = ["Done", "log_done"]

_ONCE = ("--resume", "--force")
"""Options for what lay in the way at the time; whoever does it again has an empty folder."""


@dataclass(frozen=True, slots=True)
class Done:
    """Something that was done.

    Attributes:
        words: the command line that does the same, without the name of the program.
        target: the file that it is about.
        image: which evidence; see :meth:`~qcow2inspect.case.Case.evidence`.
        outputs: the files that appeared.
        code: exit code of that command line; None if it was stopped, and nobody shall do it again.
        seconds: when, since 1970; now by default.
        outcome: what came of it, in words; may be empty.
    """

    words: Sequence[str]
    target: str
    image: Mapping[str, Any] | None
    outputs: tuple[Kept, ...] = ()
    code: int | None = 0
    seconds: int | None = None
    outcome: str = ""


def log_done(session: Session, done: Done) -> None:
    """Add a line to the log of the case that is kept, if one is.

    Raises:
        CannotExport: the log cannot be written.
    """
    from qcow2inspect.case.folder import moment_facts
    from qcow2inspect.dossier.wishes import report_time

    case = session.case
    if case is None:
        return
    seconds = int(report_time()) if done.seconds is None else done.seconds
    again = [] if done.code is None else [word for word in done.words if word not in _ONCE]
    facts = moment_facts(130 if done.code is None else done.code, done.words, seconds)
    facts |= {"target": done.target, **({"outcome": done.outcome} if done.outcome else {})}
    head = case.record(again, image=done.image, outputs=done.outputs, facts=facts)
    session.log.note(f"logged in {case.folder}; head of the log {head}")
