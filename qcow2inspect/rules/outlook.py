"""What ``qemu-img check -r`` would do to an image, and what would be lost by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.survey.faults import Fault
from qcow2inspect.survey.odd import Odd
from qcow2inspect.units import counted, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["repair_outlook"]

_NEVER_REPAIRED = (Odd.L1_RESERVED, Odd.L2_RESERVED, Odd.L2_UNALIGNED, Odd.L1_UNALIGNED)


def repair_outlook(survey: Survey) -> Iterator[str]:
    """Sentences about the two repairs; none if there is nothing to repair."""
    qemu = survey.qemu
    if qemu.failed or not (qemu.corruption_count or qemu.leaks):
        return
    yield from _leaks(survey)
    yield from _all(survey)


def _leaks(survey: Survey) -> Iterator[str]:
    zero = sum(survey.faults.count.get(fault, 0) for fault in (Fault.REF_ZERO, Fault.BLOCK_MISSING))
    if zero:
        yield f"“qemu-img check -r leaks” refuses: {counted(zero, 'cluster')} in use have a refcount of zero."
        return
    orphans = survey.faults.count.get(Fault.ORPHAN, 0)
    if orphans:
        amount = human_size(orphans * survey.image.geometry.cluster_size)
        held = "guest data that can still be put back" if _is_lost_data(survey) else "what they hold"
        clusters = counted(orphans, "cluster")
        yield f"“qemu-img check -r leaks” would free {clusters} ({amount}); the next writes overwrite {held}."


def _is_lost_data(survey: Survey) -> bool:
    """True if clusters without a pointer are consistent with guest data whose map was destroyed."""
    lost = (Odd.L1_EOF, Odd.L1_UNALIGNED, Odd.L1_FLAGS_ONLY, Odd.L2_UNALIGNED)
    return survey.is_wiped or bool(survey.overwritten) or any(survey.odd_count.get(kind) for kind in lost)


def _all(survey: Survey) -> Iterator[str]:
    qemu = survey.qemu
    if not qemu.corruption_count:
        return
    left = sum(survey.odd_count.get(kind, 0) for kind in _NEVER_REPAIRED)
    entries, tables = counted(left, "entry", "entries"), counted(len(survey.overwritten), "overwritten L2 table")
    keeps = f"; {entries} with reserved bits or unaligned offsets would stay as they are" if left else ""
    trusted = f"; {tables} would be believed" if survey.overwritten else ""
    yield (
        "“qemu-img check -r all” would set refcounts and COPIED flags to what the tables say, right or wrong"
        f"{keeps}{trusted}. It changes the evidence: work on a copy."
    )
