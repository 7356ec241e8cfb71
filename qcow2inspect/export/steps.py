"""The extents of a view in steps: pieces of work of a few milliseconds each, in the order of the guest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.windows import extents_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from qcow2inspect.image.view import Extent

__all__ = ["COPY", "LOAD", "Step", "extents_of", "steps", "with_zeros"]

LOAD = 2 << 20
"""Bytes that one step takes into memory: at least the largest cluster."""
COPY = 8 << 20
"""Bytes that one step copies as they are."""
_ZEROS = 64 << 20
_MOST_EXTENTS = 256


class _How(Enum):
    """How the bytes of an extent get where they belong."""

    ZEROS = auto()
    COPIED = auto()
    LOADED = auto()
    ENCRYPTED = auto()


@dataclass(slots=True)
class Step:
    """Extents that follow each other.

    Attributes:
        start: first byte of the view.
        end: one past the last byte.
        extents: what covers them.
        work: bytes that must be written or inflated.
        copied: all of them that are not zeros are copied as they are.
        encrypted: some must be decrypted.
    """

    start: int
    end: int
    extents: list[Extent]
    work: int
    copied: bool
    encrypted: bool


def steps(
    extents: Iterable[Extent], *, is_plain: Callable[[Extent], bool], copies: bool, cut_zeros: bool
) -> Iterator[Step]:
    """Extents grouped into steps; those that are too long for one are cut.

    Args:
        extents: in order, without gaps.
        is_plain: whether the bytes of an extent lie in a file as they are.
        copies: bytes that do never enter this process, or only pass through it, so that more of them make a step.
        cut_zeros: zeros are work too.
    """
    batch: list[Extent] = []
    load = work = 0
    copied, encrypted = copies, False
    for extent, how in _pieces(extents, is_plain, copies=copies, cut_zeros=cut_zeros):
        batch.append(extent)
        size = extent.end - extent.start
        if how is not _How.ZEROS:
            work += size
            load += size // (COPY // LOAD) if how is _How.COPIED else size
            copied = copied and how is _How.COPIED
            encrypted = encrypted or how is _How.ENCRYPTED
        if load >= LOAD or len(batch) >= _MOST_EXTENTS or (cut_zeros and size >= _ZEROS):
            yield Step(batch[0].start, extent.end, batch, work, copied, encrypted)
            batch, load, work, copied, encrypted = [], 0, 0, copies, False
    if batch:
        yield Step(batch[0].start, batch[-1].end, batch, work, copied, encrypted)


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


def _pieces(
    extents: Iterable[Extent], is_plain: Callable[[Extent], bool], *, copies: bool, cut_zeros: bool
) -> Iterator[tuple[Extent, _How]]:
    """Extents that are short enough for a step, and how their bytes get where they belong."""
    longest = {_How.ZEROS: _ZEROS if cut_zeros else None, _How.COPIED: COPY, _How.ENCRYPTED: LOAD, _How.LOADED: LOAD}
    for extent in extents:
        how = _how(extent, is_plain, copies=copies)
        limit = longest[how]
        if limit is None or extent.end - extent.start <= limit:
            yield extent, how
            continue
        for start in range(extent.start, extent.end, limit):
            yield extent.cut(start, min(start + limit, extent.end)), how


def _how(extent: Extent, is_plain: Callable[[Extent], bool], *, copies: bool) -> _How:
    if extent.error is not None or extent.kind is ClusterType.COMPRESSED:
        return _How.LOADED
    if extent.kind is not ClusterType.NORMAL:
        return _How.ZEROS
    if not is_plain(extent):
        return _How.ENCRYPTED
    return _How.COPIED if copies else _How.LOADED
