"""Clusters that nothing points to: data that was lost with a pointer, or harmless leaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.image.image import Image
from qcow2inspect.survey.faults import Fault
from qcow2inspect.survey.survey import take_survey

if TYPE_CHECKING:
    from collections.abc import Set

    from qcow2inspect.progress import Progress
    from qcow2inspect.recover.draft import Draft
    from qcow2inspect.survey.faults import Faults

__all__ = ["Contested", "contested", "orphans_of"]

_MOST = 4096


@dataclass(frozen=True, slots=True)
class Contested:
    """Host clusters whose owners are in doubt, the first of very many.

    Attributes:
        orphans: counted more often than anything points to them.
        shared: pointed to from places that must not share them.
    """

    orphans: Set[int] = frozenset()
    shared: Set[int] = frozenset()


def contested(draft: Draft, progress: Progress) -> Contested:
    """What the survey of the image, with what is assumed so far, says about its clusters.

    Raises:
        Cancelled: the user asked to stop.
    """
    import gc

    try:
        faults = take_survey(Image(draft.source, draft.assumed), progress).faults
    except Qcow2InspectError:
        return Contested()
    gc.collect()  # the columns of a survey may be large, and another one is taken soon
    return Contested(
        _clusters(faults, Fault.ORPHAN, Fault.LEAK),
        _clusters(faults, Fault.DATA_IN_METADATA, Fault.SHARED, Fault.MIXED_DATA),
    )


def orphans_of(draft: Draft, progress: Progress) -> Set[int]:
    """Host clusters that are counted more often than anything points to them; see :func:`contested`."""
    return contested(draft, progress).orphans


def _clusters(faults: Faults, *kinds: Fault) -> set[int]:
    found: set[int] = set()
    for kind in kinds:
        for span in faults.spans.get(kind, ()):
            found.update(range(span.start, min(span.end, span.start + _MOST)))
    return found
