"""Looks for bytes that are not zero in parts of the file that no guest sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qcow2inspect.units import HostRange
from qcow2inspect.workers import in_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qcow2inspect.image.image import Image
    from qcow2inspect.progress import Progress

__all__ = ["Unseen", "content_range", "look_for_content"]

_PIECE = 1 << 20
_PIECES = 4096
_RANGE_PIECE = 4 << 20


@dataclass
class Unseen:
    """Units (clusters or subclusters) that hold something other than zeros.

    Attributes:
        unit: bytes of a unit.
        count: how many hold something.
        ranges: the first of them, neighbours joined.
    """

    unit: int
    count: int = 0
    ranges: list[HostRange] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all units with content."""
        return self.count * self.unit

    def add(self, part: HostRange, most: int) -> None:
        """Units with content, in ascending order."""
        self.count += part.size // self.unit
        if self.ranges and self.ranges[-1].end == part.start:
            self.ranges[-1] = HostRange(self.ranges[-1].start, part.end)
        elif len(self.ranges) < most:
            self.ranges.append(part)


def look_for_content(image: Image, ranges: Iterable[HostRange], unit: int, progress: Progress, *, most: int) -> Unseen:
    """Read some ranges, in threads, and tell which units are not all zero; holes of the file are not read.

    Args:
        image: the image.
        ranges: ascending, apart from each other, of whole units.
        unit: bytes of a unit.
        progress: told about bytes that were read.
        most: how many ranges with content are kept.

    Raises:
        CannotRead: the image file cannot be read.
        Cancelled: the user asked to stop.
    """

    def look_at(pieces: list[HostRange]) -> tuple[int, list[HostRange]]:
        return sum(piece.size for piece in pieces), [part for piece in pieces for part in _content(image, piece, unit)]

    found = Unseen(unit)
    for size, parts in in_order(_batches(_stored(image, ranges, unit)), look_at, progress):
        for part in parts:
            found.add(part, most)
        progress.advance(size)
    return found


def content_range(image: Image, where: HostRange) -> HostRange | None:
    """From the first byte of a range that is not zero to the last one; None if all are zero."""
    first = last = None
    for at in range(int(where.start), int(where.end), _RANGE_PIECE):
        data = image.read(at, min(_RANGE_PIECE, where.end - at))
        if any(data):
            first = at + len(data) - len(data.lstrip(b"\0")) if first is None else first
            last = at + len(data.rstrip(b"\0"))
    return HostRange.at(first, last - first) if first is not None and last is not None else None


def _stored(image: Image, ranges: Iterable[HostRange], unit: int) -> Iterator[HostRange]:
    """Pieces of the ranges, of whole units, of which the file system stores something."""
    step = max(unit, _PIECE)
    for where in ranges:
        at = int(where.start)
        for part in image.source.data_ranges(where.clip(0, image.end)):
            at = max(at, int(where.start) + (part.start - where.start) // unit * unit)
            end = int(where.start) - (where.start - part.end) // unit * unit
            while at < end:
                size = min(step, end - at)
                yield HostRange.at(at, size)
                at += size


def _batches(pieces: Iterable[HostRange]) -> Iterator[list[HostRange]]:
    """Pieces that are read in one step."""
    batch: list[HostRange] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += piece.size
        if size >= _PIECE or len(batch) >= _PIECES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _content(image: Image, piece: HostRange, unit: int) -> Iterator[HostRange]:
    """Neighbouring units of a piece that are not all zero."""
    import numpy as np

    words = np.frombuffer(image.read(piece.start, piece.size), dtype=np.uint64).reshape(-1, unit // 8)
    edges = np.diff(words.any(axis=1).astype(np.int8), prepend=0, append=0)
    starts, ends = np.flatnonzero(edges > 0).tolist(), np.flatnonzero(edges < 0).tolist()
    for start, end in zip(starts, ends, strict=True):
        yield HostRange.at(piece.start + start * unit, (end - start) * unit)
