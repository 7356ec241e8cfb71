"""Inflates the streams of compressed clusters, each once however many entries lead to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from qcow2inspect.codec import codec_for
from qcow2inspect.errors import BadStream, ShortStream
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.header import CompressionType
from qcow2inspect.survey.walk import stream_places
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


def inflate_streams(image: Image, streams: Streams, progress: Progress, *, most: int) -> dict[StreamFault, BadStreams]:
    """Inflate all streams, in threads.

    Args:
        image: the image; its compression type is known.
        streams: which streams.
        progress: told about host bytes.
        most: how many streams with each fault are kept.

    Raises:
        CannotRead: the image file cannot be read.
        Cancelled: the user asked to stop.
    """
    progress.begin("Inflating compressed clusters", int(streams.size.sum()))
    inflater, found = _Inflater(image, streams), dict[StreamFault, BadStreams]()
    for size, faults in in_order(_batches(len(streams), image.geometry.cluster_size), inflater.look_at, progress):
        for row, fault in faults:
            bad = found.setdefault(fault, BadStreams())
            bad.count += 1
            bad.size += int(streams.size[row])
            if len(bad.streams) < most:
                bad.streams.append(int(streams.raw[row]))
        progress.advance(size)
    return found


def _batches(count: int, cluster_size: int) -> Iterator[range]:
    """Rows that are looked at together: as many as inflate to a few MiB."""
    step = max(1, _BATCH // cluster_size)
    for first in range(0, count, step):
        yield range(first, min(first + step, count))


class _Inflater:
    def __init__(self, image: Image, streams: Streams) -> None:
        kind = image.header.compression_type
        self._image = image
        self._streams = streams
        self._cluster_size = image.geometry.cluster_size
        self._codec = codec_for(kind)
        self._is_deflate = kind is CompressionType.ZLIB
        self._other = codec_for(CompressionType.ZSTD if self._is_deflate else CompressionType.ZLIB)

    def look_at(self, rows: range) -> tuple[int, list[tuple[int, StreamFault]]]:
        """Host bytes of some streams, and those that have a fault."""
        faults = []
        for row, data in self._read(rows):
            fault = self._judge(data, int(self._streams.start[row]) % SECTOR)
            if fault is not None:
                faults.append((row, fault))
        return int(self._streams.size[rows.start : rows.stop].sum()), faults

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

    def _judge(self, data: memoryview, lead: int) -> StreamFault | None:
        """What is wrong with a stream that starts ``lead`` bytes into a sector."""
        try:
            measure = self._codec.measure(data, self._cluster_size)
        except BadStream as error:
            if self._is_other(data):
                return StreamFault.WRONG_TYPE
            return StreamFault.SHORT if isinstance(error, ShortStream) else StreamFault.BROKEN
        if not measure.ends:
            return StreamFault.LONG
        needed = -(-(lead + measure.used) // SECTOR)
        return StreamFault.OVERSIZED if (lead + len(data)) // SECTOR > needed else None

    def _is_other(self, data: memoryview) -> bool:
        """True if the stream is one of the other type: by its magic, or because it inflates to just one cluster."""
        if self._is_deflate and data[:4] == _ZSTD_MAGIC:
            return True
        try:
            return self._other.measure(data, self._cluster_size).ends
        except BadStream:
            return False
