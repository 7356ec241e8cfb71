"""What is known about the image so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qcow2inspect.dossier import Dossier
    from qcow2inspect.findings import Finding
    from qcow2inspect.survey.survey import Survey

__all__ = ["Explained", "Knowledge", "KnowledgeGrew"]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known about the image so far; replaced as a whole, never changed.

    Attributes:
        dossier: all that may be said about the image.
        findings: heaviest first.
        surveyed: True once the whole image was looked at.
        seconds: how long that took.
        survey: what was found in the tables; None before they were read.
    """

    dossier: Dossier
    findings: Sequence[Finding]
    surveyed: bool = False
    seconds: float = 0.0
    survey: Survey | None = None


class KnowledgeGrew(Message):
    """A step of the first look is done: the tables are indexed, or the survey is complete.

    Args:
        knowledge: the new state; None if only the index is ready.
    """

    def __init__(self, knowledge: Knowledge | None) -> None:
        super().__init__()
        self.knowledge = knowledge


class Explained(Message):
    """It is known how much of the file has a known purpose.

    Attributes:
        unexplained: bytes that have none.
    """

    def __init__(self, unexplained: int) -> None:
        super().__init__()
        self.unexplained = unexplained
