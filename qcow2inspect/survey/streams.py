"""Inflates the streams of compressed clusters, each once however many entries lead to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from qcow2inspect.codec import codec_for
from qcow2inspect.errors import BadStream, ShortStream
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.header import CompressionType
from qcow2inspect.survey.unseen import Unseen
from qcow2inspect.survey.walk import stream_places
from qcow2inspect.units import HostRange
from qcow2inspect.workers import in_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.image import Image
    from qcow2inspect.layout.word import Column
    from qcow2inspect.progress import Progress
    from qcow2inspect.survey.columns import Ints
    from qcow2inspect.survey.odd import OddEntry

__all__ = ["DESCRIPTOR", "BadStreams", "StreamFault", "Streams", "inflate_streams"]

DESCRIPTOR = (1 << 62) - 1
"""The bits of an entry that say where its stream is."""

_BATCH = 4 << 20
_GAP = 64 << 10
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class StreamFault(Enum):
    """What is wrong with a stream, or odd about it."""

    BROKEN = "does not inflate"
    SHORT = "gives less than a cluster"
    WRONG_TYPE = "is of the other compression type"
    LONG = "goes on behind the cluster"
    OVERSIZED = "takes at least a sector less than its entry says"
    FAR = "refers back further than the window of QEMU's writer"
    OVERLAP = "shares bytes that it needs with another"


@dataclass(frozen=True)
class Streams:
    """Distinct streams in order of host offset; one row is one stream.

    Attributes:
        raw: the descriptor: the entry as stored without its two flags.
        start: host offset of the first byte.
        size: bytes that the stream may take.
    """

    raw: Column
    start: Ints
    size: Ints

    @classmethod
    def of(cls, raw: Column, cluster_bits: int) -> Streams:
        """The streams of distinct descriptors."""
        import numpy as np

        start, size = stream_places(raw, cluster_bits)
        order = np.argsort(start, kind="stable")
        return cls(raw[order], start[order], size[order])

    def __len__(self) -> int:
        return len(self.raw)


@dataclass
class BadStreams:
    """The streams with one fault.

    Attributes:
        count: how many.
        size: host bytes that they may take.
        streams: descriptors of the first of them.
        entries: L2 entries that lead to those, a few each.
    """

    count: int = 0
    size: int = 0
    streams: list[int] = field(default_factory=list)
    entries: list[OddEntry] = field(default_factory=list)

    def add(self, streams: Streams, row: int, most: int) -> None:
        """One more; only the first ``most`` are kept."""
        self.count += 1
        self.size += int(streams.size[row])
        if len(self.streams) < most:
            self.streams.append(int(streams.raw[row]))


def inflate_streams(
    image: Image, streams: Streams, progress: Progress, *, most: int
) -> tuple[dict[StreamFault, BadStreams], Unseen]:
    """Inflate all streams, in threads.

    Args:
        image: the image; its compression type is known.
        streams: which streams.
        progress: told about host bytes.
        most: how many streams with each fault are kept.

    Returns:
        The streams with each fault, and the bytes behind streams that no stream needs and that are not all zero.

    Raises:
        CannotRead: the image file cannot be read.
        Cancelled: the user asked to stop.
    """
    import numpy as np

    progress.begin("Inflating compressed clusters", int(streams.size.sum()))
    inflater, found, slack = _Inflater(image, streams), dict[StreamFault, BadStreams](), Unseen(1)
    used = np.zeros(len(streams), dtype=np.int64)
    for batch in in_order(_batches(len(streams), image.geometry.cluster_size), inflater.look_at, progress):
        used[batch.rows.start : batch.rows.stop] = batch.used
        for row, fault in batch.faults:
            found.setdefault(fault, BadStreams()).add(streams, row, most)
        for part in batch.slack:
            slack.add(part, most)
        progress.advance(int(streams.size[batch.rows.start : batch.rows.stop].sum()))
    for row in _overlapping(streams, used).tolist():
        found.setdefault(StreamFault.OVERLAP, BadStreams()).add(streams, row, most)
    return found, slack


def _overlapping(streams: Streams, used: Ints) -> Ints:
    """The streams that need bytes which another one needs too."""
    import numpy as np

    rows = np.flatnonzero(used)
    starts, ends = streams.start[rows], streams.start[rows] + used[rows]
    reach = np.maximum.accumulate(ends)
    late = np.flatnonzero(starts[1:] < reach[:-1]) + 1
    furthest = np.flatnonzero(np.append(True, ends[1:] > reach[:-1]))  # the streams that set the reach
    early = furthest[np.searchsorted(furthest, late - 1, side="right") - 1]
    found: Ints = rows[np.union1d(early, late)]
    return found


def _batches(count: int, cluster_size: int) -> Iterator[range]:
    """Rows that are looked at together: as many as inflate to a few MiB."""
    step = max(1, _BATCH // cluster_size)
    for first in range(0, count, step):
        yield range(first, min(first + step, count))


@dataclass
class _Looked:
    """What is to be said about the streams of some rows: bytes used of each, faults, and slack behind them."""

    rows: range
    used: list[int] = field(default_factory=list)
    faults: list[tuple[int, StreamFault]] = field(default_factory=list)
    slack: list[HostRange] = field(default_factory=list)


class _Inflater:
    def __init__(self, image: Image, streams: Streams) -> None:
        kind = image.header.compression_type
        self._image = image
        self._streams = streams
        self._cluster_size = image.geometry.cluster_size
        self._codec = codec_for(kind)
        self._is_deflate = kind is CompressionType.ZLIB
        self._other = codec_for(CompressionType.ZSTD if self._is_deflate else CompressionType.ZLIB)

    def look_at(self, rows: range) -> _Looked:
        """What is to be said about some streams."""
        looked, reach = _Looked(rows), 0
        for row, data in self._read(rows):
            used, faults = self._judge(data, int(self._streams.start[row]) % SECTOR)
            looked.used.append(used)
            looked.faults += [(row, fault) for fault in faults]
            if used:
                start = int(self._streams.start[row])
                reach = max(reach, start + used)
                looked.slack += self._slack(row, data, min(reach - start, len(data)))
        return looked

    def _slack(self, row: int, data: memoryview, used: int) -> list[HostRange]:
        """Bytes behind the used ones, up to the next stream, if they are not all zero; without zeros at both ends."""
        start = int(self._streams.start[row])
        following = int(self._streams.start[row + 1]) if row + 1 < len(self._streams) else start + len(data)
        rest = bytes(data[used : following - start])
        content = rest.strip(b"\0")
        at = start + used + len(rest) - len(rest.lstrip(b"\0"))
        return [HostRange.at(at, len(content))] if content else []

    def _read(self, rows: range) -> Iterator[tuple[int, memoryview]]:
        """The bytes of each stream; neighbours are read together."""
        import numpy as np

        starts = self._streams.start[rows.start : rows.stop]
        ends = np.maximum.accumulate(starts + self._streams.size[rows.start : rows.stop])
        borders = (np.flatnonzero(starts[1:] - ends[:-1] > _GAP) + 1).tolist()
        for low, high in zip([0, *borders], [*borders, len(rows)], strict=True):
            base = int(starts[low])
            data = memoryview(self._image.read(base, int(ends[high - 1]) - base))
            for row in rows[low:high]:
                at = int(self._streams.start[row]) - base
                yield row, data[at : at + int(self._streams.size[row])]

    def _judge(self, data: memoryview, lead: int) -> tuple[int, list[StreamFault]]:
        """How long a stream is that starts ``lead`` bytes into a sector, 0 if unknown; and what is wrong with it."""
        try:
            measure = self._codec.measure(data, self._cluster_size)
        except BadStream as error:
            if self._is_other(data):
                return 0, [StreamFault.WRONG_TYPE]
            return 0, [StreamFault.SHORT if isinstance(error, ShortStream) else StreamFault.BROKEN]
        faults = [StreamFault.FAR] if measure.is_far else []
        if not measure.ends:
            return 0, [*faults, StreamFault.LONG]
        needed = -(-(lead + measure.used) // SECTOR)
        if (lead + len(data)) // SECTOR > needed:
            faults.append(StreamFault.OVERSIZED)
        return measure.used, faults

    def _is_other(self, data: memoryview) -> bool:
        """True if the stream is one of the other type: by its magic, or because it inflates to just one cluster."""
        if self._is_deflate and data[:4] == _ZSTD_MAGIC:
            return True
        try:
            return self._other.measure(data, self._cluster_size).ends
        except BadStream:
            return False
