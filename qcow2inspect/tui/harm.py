"""Finds out how far the damage of the image reaches into the disk, if there is any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from qcow2inspect.findings import Category
from qcow2inspect.tui.location import ACTIVE
from qcow2inspect.tui.tasks.running import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from qcow2inspect.export.damage import Damage
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.running import TaskProgress

__all__ = ["DamageFound", "find_harm", "has_harm"]


class DamageFound(Message):
    """It is known how far the damage of the image reaches into the disk.

    Attributes:
        damage: what an export will mark.
    """

    def __init__(self, damage: Damage) -> None:
        super().__init__()
        self.damage = damage


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
