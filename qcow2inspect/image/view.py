"""Everything one can look at: a name, a size, bytes, and extents that say where the bytes come from.

Hex pane, search, hash and export take a view and need not know what is behind it.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, Protocol

from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.assumed import NOTHING_ASSUMED, Assumptions
from qcow2inspect.source.protocol import read_padded
from qcow2inspect.units import GuestOffset, GuestRange, HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qcow2inspect.errors import Qcow2InspectError
    from qcow2inspect.source.protocol import Source

__all__ = ["NOWHERE", "Extent", "HostFile", "HostParts", "RawDisk", "View", "Window", "clipped"]


NOWHERE = -1
"""Host offset of what has no host cluster."""


class Extent(NamedTuple):
    """A range of a view whose bytes all come from the same kind of place; a row of numbers, for there are millions.

    Attributes:
        start: first byte of the view.
        end: one past the last byte.
        kind: what the L2 entries (or subclusters) say.
        host_start: first host byte that belongs to it; -1 if there is no host cluster.
        host_end: one past the last host byte; -1 if there is no host cluster.
        layer: 0 for the image itself, 1 for its backing file, and so on.
        error: why the bytes cannot be read; None if they can.
        past_end: True if the image file ends before the L2 table or data cluster that should be here, so that
            the bytes read as zeros for want of anything better.
        absent: True if the bytes lie in a file that is not there, and read as zeros because the user said so.
    """

    start: int
    end: int
    kind: ClusterType
    host_start: int = NOWHERE
    host_end: int = NOWHERE
    layer: int = 0
    error: Qcow2InspectError | None = None
    past_end: bool = False
    absent: bool = False

    @classmethod
    def of(
        cls,
        guest: GuestRange,
        kind: ClusterType,
        host: HostRange | None = None,
        *,
        error: Qcow2InspectError | None = None,
        past_end: bool = False,
        absent: bool = False,
    ) -> Extent:
        """The extent of a guest range, of the image itself."""
        start, end = (int(host.start), int(host.end)) if host is not None else (NOWHERE, NOWHERE)
        return cls(int(guest.start), int(guest.end), kind, start, end, 0, error, past_end, absent)

    @property
    def guest(self) -> GuestRange:
        """Bytes of the view, half-open."""
        return GuestRange(GuestOffset(self.start), GuestOffset(self.end))

    @property
    def host(self) -> HostRange | None:
        """Host bytes that belong to it; None if there is no host cluster.

        The data (normal), the reserved clusters (zero-alloc), the run that holds the stream (compressed). Of several
        clusters that lie in different places and are lost all the same, those of the first.
        """
        if self.host_end == NOWHERE:
            return None
        return HostRange(HostOffset(self.host_start), HostOffset(self.host_end))

    @property
    def size(self) -> int:
        """Bytes of the view."""
        return self.end - self.start

    def cut(self, start: int, end: int) -> Extent:
        """The part ``[start, end)``, which lies inside; a compressed run belongs to all of its cluster."""
        if start == self.start and end == self.end:
            return self
        low, high = self.host_start, self.host_end
        if high - low == self.end - self.start and self.kind is not ClusterType.COMPRESSED:
            low += start - self.start
            high = low + end - start
        return Extent(start, end, self.kind, low, high, self.layer, self.error, self.past_end, self.absent)

    def moved(self, start: int) -> Extent:
        """The same for bytes that begin at ``start`` in another view."""
        return self._replace(start=start, end=start + self.size)

    @property
    def readable(self) -> bool:
        """True if the bytes can be read."""
        return self.error is None

    @property
    def why_not(self) -> str:
        """Why the bytes cannot be read; empty if they can."""
        return "" if self.error is None else self.error.what

    @property
    def reads_as_zero(self) -> bool:
        """True if all bytes are zero by what the tables say, without a look at any data."""
        return self.error is None and self.kind not in (ClusterType.NORMAL, ClusterType.COMPRESSED)


class View(Protocol):
    """Bytes with a size, and where they come from."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """Everything the bytes may come from; none of it may ever be written."""

    @property
    def assumed(self) -> Assumptions:
        """What is taken to stand in the metadata that leads to the bytes."""

    def read_extent(self, extent: Extent) -> bytes:
        """The bytes of an extent that this view gave.

        Raises:
            CannotRead, Damaged, NeedsFile, NeedsKey: they cannot be read.
        """

    def plain_source(self, extent: Extent) -> Source | None:
        """The file in which the host bytes of an extent are its bytes as they are; None if none is."""

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on; fewer only at the end, none past it.

        Raises:
            CannotRead, Damaged, NeedsFile, NeedsKey: a part of the range cannot be read.
        """

    def lookup(self, guest: GuestOffset) -> Extent:
        """An extent around the byte at ``guest``, not always the longest one.

        Raises:
            IndexError: there is no such byte.
        """

    def extents(self, within: GuestRange | None = None) -> Iterator[Extent]:
        """The extents that cover ``within`` (all of the view by default), in order, without gaps."""


def clipped(within: GuestRange | None, size: int) -> GuestRange:
    """The part of a view of ``size`` bytes that lies in ``within``; all of it for None."""
    return GuestRange.at(0, size) if within is None else within.clip(0, size)


class HostFile:
    """The image file itself, byte for byte."""

    assumed = NOTHING_ASSUMED

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name = source.name

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._source.size

    @property
    def sources(self) -> tuple[Source, ...]:
        """The image file."""
        return (self._source,)

    def read_extent(self, extent: Extent) -> bytes:
        """The bytes of an extent."""
        return self._source.read_at(extent.start, extent.size)

    def plain_source(self, extent: Extent) -> Source | None:
        """The file: every byte lies where it is."""
        return self._source

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on; fewer only at the end."""
        return self._source.read_at(offset, size)

    def lookup(self, guest: GuestOffset) -> Extent:
        """One extent: every byte lies where it is."""
        if not 0 <= guest < self.size:
            raise IndexError(guest)
        return _as_it_is(GuestRange.at(0, self.size))

    def extents(self, within: GuestRange | None = None) -> Iterator[Extent]:
        """One extent: every byte lies where it is."""
        part = clipped(within, self.size)
        if part:
            yield _as_it_is(part)


class HostParts:
    """Some ranges of a file, one after the other.

    Args:
        source: the file.
        parts: its ranges.
        name: what a person calls them.
        assumed: what is taken to stand in the metadata that led to them.
    """

    def __init__(
        self, source: Source, parts: Sequence[HostRange], name: str, assumed: Assumptions = NOTHING_ASSUMED
    ) -> None:
        self._source = source
        self.assumed = assumed
        self._parts = parts
        self._starts = list(accumulate((part.size for part in parts), initial=0))
        self.name = name
        self.size = self._starts.pop()

    @property
    def sources(self) -> tuple[Source, ...]:
        """The file."""
        return (self._source,)

    def read_extent(self, extent: Extent) -> bytes:
        """The bytes of an extent."""
        return read_padded(self._source, extent.host_start, extent.size)

    def plain_source(self, extent: Extent) -> Source | None:
        """The file: every byte lies where it is."""
        return self._source

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on; fewer only at the end."""
        if offset < 0 or size < 0:
            raise ValueError(f"cannot read {size} bytes at {offset}")
        return b"".join(self.read_extent(extent) for extent in self.extents(GuestRange.at(offset, size)))

    def lookup(self, guest: GuestOffset) -> Extent:
        """The range around ``guest``."""
        if not 0 <= guest < self.size:
            raise IndexError(guest)
        return self._extent(bisect_right(self._starts, guest) - 1)

    def extents(self, within: GuestRange | None = None) -> Iterator[Extent]:
        """One extent for each range."""
        part = clipped(within, self.size)
        for index in range(max(0, bisect_right(self._starts, part.start) - 1), len(self._parts) if part else 0):
            extent = self._extent(index)
            if extent.start >= part.end:
                return
            yield extent.cut(max(extent.start, int(part.start)), min(extent.end, int(part.end)))

    def _extent(self, index: int) -> Extent:
        part = self._parts[index]
        return Extent.of(GuestRange.at(self._starts[index], part.size), ClusterType.NORMAL, part)


def _as_it_is(part: GuestRange, kind: ClusterType = ClusterType.NORMAL) -> Extent:
    return Extent.of(part, kind, HostRange(HostOffset(part.start), HostOffset(part.end)))


class RawDisk:
    """A raw disk: every guest byte lies at the same offset of the file.

    The size is rounded up to whole sectors, as QEMU does it; holes of the file, and what the last sector lacks,
    are extents of their own that read as zeros.
    """

    assumed = NOTHING_ASSUMED

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name = f"{source.name} (raw disk)"
        self.size = -(-source.size // SECTOR) * SECTOR

    @property
    def sources(self) -> tuple[Source, ...]:
        """The file."""
        return (self._source,)

    def read_extent(self, extent: Extent) -> bytes:
        """The bytes of an extent."""
        return self.read_at(extent.start, extent.size)

    def plain_source(self, extent: Extent) -> Source | None:
        """The file, for what it stores."""
        return self._source if extent.kind is ClusterType.NORMAL else None

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on; fewer only at the end."""
        return read_padded(self._source, offset, max(0, min(size, self.size - offset)))

    def lookup(self, guest: GuestOffset) -> Extent:
        """The bytes at and after ``guest`` that are stored, or that are not."""
        if not 0 <= guest < self.size:
            raise IndexError(guest)
        return next(self.extents(GuestRange(guest, GuestOffset(self.size))))

    def extents(self, within: GuestRange | None = None) -> Iterator[Extent]:
        """Stored parts and holes in turn."""
        part = clipped(within, self.size)
        at = part.start
        for stored in self._source.data_ranges(HostRange(HostOffset(part.start), HostOffset(part.end))):
            start, end = GuestOffset(stored.start), GuestOffset(stored.end)
            if start > at:
                yield _as_it_is(GuestRange(at, start), ClusterType.ZERO_ALLOC)
            yield _as_it_is(GuestRange(start, end))
            at = end
        if at < part.end:
            yield _as_it_is(GuestRange(at, part.end), ClusterType.ZERO_ALLOC)


class Window:
    """A part of another view, as a view of its own that starts at 0.

    Attributes:
        start: where the part begins in the other view.

    Args:
        view: the other view.
        part: which of its bytes.
        name: what a person calls it.
    """

    def __init__(self, view: View, part: GuestRange, name: str) -> None:
        self._view = view
        self.start = int(part.start)
        self.name = name
        self.size = part.clip(0, view.size).size

    @property
    def sources(self) -> tuple[Source, ...]:
        """Those of the other view."""
        return self._view.sources

    @property
    def assumed(self) -> Assumptions:
        """That of the other view."""
        return self._view.assumed

    def read_extent(self, extent: Extent) -> bytes:
        """The bytes of an extent."""
        return self._view.read_extent(extent.moved(extent.start + self.start))

    def plain_source(self, extent: Extent) -> Source | None:
        """The file that holds the bytes as they are."""
        return self._view.plain_source(extent.moved(extent.start + self.start))

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on; fewer only at the end."""
        if offset < 0 or size < 0:
            raise ValueError(f"cannot read {size} bytes at {offset}")
        return self._view.read_at(self.start + offset, max(0, min(size, self.size - offset)))

    def lookup(self, guest: GuestOffset) -> Extent:
        """The extent around ``guest``, cut at the edges of the part."""
        if not 0 <= guest < self.size:
            raise IndexError(guest)
        extent = self._view.lookup(GuestOffset(self.start + guest))
        inside = extent.cut(max(extent.start, self.start), min(extent.end, self.start + self.size))
        return inside.moved(inside.start - self.start)

    def extents(self, within: GuestRange | None = None) -> Iterator[Extent]:
        """The extents of the part."""
        part = clipped(within, self.size)
        for extent in self._view.extents(GuestRange.at(self.start + part.start, part.size)):
            yield extent.moved(extent.start - self.start)
