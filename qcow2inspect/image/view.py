"""Everything one can look at: a name, a size, bytes, and extents that say where the bytes come from.

Hex pane, search, hash and export take a view and need not know what is behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.units import GuestRange, HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.errors import Qcow2InspectError
    from qcow2inspect.source.protocol import Source

__all__ = ["Extent", "HostFile", "View"]


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of a view whose bytes all come from the same kind of place.

    Attributes:
        guest: bytes of the view, half-open.
        kind: what the L2 entries (or subclusters) say.
        host: host bytes that belong to it: the data (normal), the reserved clusters (zero-alloc), the run that
            holds the stream (compressed); None if there is no host cluster.
        layer: 0 for the image itself, 1 for its backing file, and so on.
        error: why the bytes cannot be read; None if they can.
        past_end: True if the image file ends before the L2 table or data cluster that should be here, so that
            the bytes read as zeros for want of anything better.
    """

    guest: GuestRange
    kind: ClusterType
    host: HostRange | None = None
    layer: int = 0
    error: Qcow2InspectError | None = None
    past_end: bool = False

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

    def read_extent(self, extent: Extent) -> bytes:
        """The bytes of an extent that this view gave.

        Raises:
            CannotRead, Damaged, NeedsFile, NeedsKey: they cannot be read.
        """

    def plain(self, extent: Extent) -> tuple[Source, HostRange] | None:
        """Where the bytes of an extent lie as they are, to be copied without a look; None if they do not."""

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on; fewer only at the end, none past it.

        Raises:
            CannotRead, Damaged, NeedsFile, NeedsKey: a part of the range cannot be read.
        """

    def extents(self, within: GuestRange | None = None) -> Iterator[Extent]:
        """The extents that cover ``within`` (all of the view by default), in order, without gaps."""


class HostFile:
    """The image file itself, byte for byte."""

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
        return self._source.read_at(extent.guest.start, extent.guest.size)

    def plain(self, extent: Extent) -> tuple[Source, HostRange] | None:
        """Every byte lies where it is."""
        return (self._source, extent.host) if extent.host else None

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on; fewer only at the end."""
        return self._source.read_at(offset, size)

    def extents(self, within: GuestRange | None = None) -> Iterator[Extent]:
        """One extent: every byte lies where it is."""
        part = within.clip(0, self.size) if within else GuestRange.at(0, self.size)
        if part:
            host = HostRange(HostOffset(part.start), HostOffset(part.end))
            yield Extent(part, ClusterType.NORMAL, host)
