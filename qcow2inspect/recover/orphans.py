"""Clusters that nothing points to: data that was lost with a pointer, or harmless leaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.image.image import Image
from qcow2inspect.survey.faults import Fault
from qcow2inspect.survey.survey import take_survey

if TYPE_CHECKING:
    from collections.abc import Set

    from qcow2inspect.progress import Progress
    from qcow2inspect.recover.draft import Draft

__all__ = ["orphans_of"]

_MOST = 4096


def orphans_of(draft: Draft, progress: Progress) -> Set[int]:
    """Host clusters that are counted more often than anything points to them, the first of very many.

    Raises:
        Cancelled: the user asked to stop.
    """
    try:
        faults = take_survey(Image(draft.source, draft.assumed), progress).faults
    except Qcow2InspectError:
        return frozenset()
    found: set[int] = set()
    for span in (*faults.spans.get(Fault.ORPHAN, ()), *faults.spans.get(Fault.LEAK, ())):
        found.update(range(span.start, min(span.end, span.start + _MOST)))
    return found
