"""The extents of a view in steps: pieces of work of a few milliseconds each, in the order of the guest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.windows import extents_of
from qcow2inspect.units import GuestOffset, GuestRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from qcow2inspect.image.view import Extent

    InKernel = Callable[[Extent], bool]

__all__ = ["COPY", "LOAD", "Step", "extents_of", "steps", "with_zeros"]

LOAD = 2 << 20
"""Bytes that one step takes into memory."""
COPY = 8 << 20
"""Bytes that one step has the kernel copy."""
_ZEROS = 64 << 20
_MOST_EXTENTS = 256


@dataclass(slots=True)
class Step:
    """Extents that follow each other.

    Attributes:
        start: first byte of the view.
        end: one past the last byte.
        extents: what covers them.
        work: bytes that must be written or inflated.
        copied: the kernel copies all of them.
    """

    start: int
    end: int
    extents: list[Extent]
    work: int
    copied: bool


def steps(extents: Iterable[Extent], *, in_kernel: InKernel, cut_zeros: bool) -> Iterator[Step]:
    """Extents grouped into steps; those that are too long for one are cut.

    Args:
        extents: in order, without gaps.
        in_kernel: whether the bytes of an extent never enter this process, so that more of them make a step.
        cut_zeros: zeros are work too.
    """
    batch: list[Extent] = []
    load = work = 0
    in_memory = False
    for extent, copied in _pieces(extents, in_kernel, cut_zeros=cut_zeros):
        batch.append(extent)
        if not extent.reads_as_zero:
            size = extent.guest.size
            work += size
            load += size // (COPY // LOAD) if copied else size
            in_memory = in_memory or not copied
        if load >= LOAD or len(batch) >= _MOST_EXTENTS or (cut_zeros and extent.guest.size >= _ZEROS):
            yield Step(int(batch[0].guest.start), int(extent.guest.end), batch, work, not in_memory)
            batch, load, work, in_memory = [], 0, 0, False
    if batch:
        yield Step(int(batch[0].guest.start), int(batch[-1].guest.end), batch, work, not in_memory)


def with_zeros(step: Step, pieces: Iterable[tuple[int, bytes]]) -> Iterator[bytes | int]:
    """All bytes of a step in order; numbers stand for the zeros between the pieces."""
    at = step.start
    for start, data in pieces:
        if start > at:
            yield start - at
        yield data
        at = start + len(data)
    if step.end > at:
        yield step.end - at


def _pieces(extents: Iterable[Extent], in_kernel: InKernel, *, cut_zeros: bool) -> Iterator[tuple[Extent, bool]]:
    """Extents that are short enough for a step, and whether the kernel copies them."""
    for extent in extents:
        copied = in_kernel(extent)
        if extent.reads_as_zero:
            limit = _ZEROS if cut_zeros else extent.guest.size
        elif extent.kind is ClusterType.COMPRESSED:
            limit = extent.guest.size
        else:
            limit = COPY if copied else LOAD
        if extent.guest.size <= limit:
            yield extent, copied
            continue
        for start in range(extent.guest.start, extent.guest.end, limit):
            yield extent.cut(GuestRange(GuestOffset(start), GuestOffset(min(start + limit, extent.guest.end)))), copied
