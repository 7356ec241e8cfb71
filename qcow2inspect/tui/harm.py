"""Finds out how far the damage of the image reaches into the disk, if there is any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category
from qcow2inspect.tui.location import ACTIVE
from qcow2inspect.tui.messages import DamageFound
from qcow2inspect.tui.tasks import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.message import Message

    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks import TaskProgress

__all__ = ["find_harm", "has_harm"]


def has_harm(session: Session) -> bool:
    """True if all tables were read and something is damaged."""
    knowledge = session.knowledge
    return knowledge.survey is not None and any(
        finding.severity.is_bad and finding.category is Category.CORRUPTION for finding in knowledge.findings
    )


def find_harm(session: Session, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Find out what an export of the active state will mark."""
    survey = session.knowledge.survey
    assert survey is not None  # has_harm was asked

    def work() -> Message:
        from qcow2inspect.export.damage import find_damage

        return DamageFound(find_damage(ACTIVE.view(session.chain), survey, progress))

    guarded("damage", post, work)
