"""Reads L2 tables in batches and turns their entries into runs.

A run is a stretch of entries of one table that are their predecessor plus one cluster, or all the same without an
offset. Inside a run all flag bits are equal, so that what is to be said about entries is said once for each run. A
table of an image that was written in order is one run, a table of compressed clusters has as many runs as entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.mapping import ClusterType, L2Entry, classify_column, compressed_descriptor
from qcow2inspect.units import HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.image.image import Image
    from qcow2inspect.layout.word import Column
    from qcow2inspect.survey.columns import Ints

__all__ = ["Batch", "in_data", "read_batches", "read_clusters", "stream_places"]

_READ = 1 << 20
_PIECES = 16
_ROWS = 1 << 15
_LOOKED_AT = 1 << 16
_COLUMNS = {"table": "int64", "index": "int64", "length": "int64", "raw": "uint64", "bitmap": "uint64"}
_OFFSET = L2Entry.host_cluster_offset.mask
_COPIED = L2Entry.copied.mask


@dataclass
class Batch:
    """The runs of the entries of some L2 tables; entries that are zero are left out. One row is one run.

    Attributes:
        table: which table, as index of the survey's tables.
        index: index of the run's first entry in its table.
        length: entries of the run.
        raw: first entry as stored.
        bitmap: its subcluster allocation bitmap; None without extended L2 entries.
        kind: ``uint8`` of :class:`ClusterType`.
        offset: host offset of its cluster, 0 without one; where the stream starts if it is compressed.
        stream: bytes that a compressed cluster may take; 0 for others.
        is_plain: True if every entry is an aligned offset in the file, perhaps with COPIED, and nothing else.
    """

    table: Ints
    index: Ints
    length: Ints
    raw: Column
    bitmap: Column | None
    kind: npt.NDArray[np.uint8]
    offset: Ints
    stream: Ints
    is_plain: bool = False

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def compressed(self) -> npt.NDArray[np.bool_]:
        """True for compressed clusters."""
        found: npt.NDArray[np.bool_] = self.kind == ClusterType.COMPRESSED
        return found

    @property
    def stored(self) -> npt.NDArray[np.bool_]:
        """True for entries with a whole host cluster: normal and zero-alloc."""
        found: npt.NDArray[np.bool_] = (self.kind == ClusterType.NORMAL) | (self.kind == ClusterType.ZERO_ALLOC)
        return found


def read_batches(image: Image, offsets: Ints, tables: Ints) -> Iterator[tuple[int, Batch]]:
    """Read L2 tables and give their runs.

    Args:
        image: the image.
        offsets: host offsets of all tables.
        tables: which of them to read, in ascending order; those in holes of the file are passed over.

    Yields:
        Bytes that were read or passed over, and the runs in them; no more than a few 10,000 runs at a time where
        tables are in order, never more than the entries of :data:`_READ` bytes besides.
    """
    finder, size = _Runs(image), image.geometry.cluster_size
    pieces: list[_Piece] = []
    done = 0
    for start in range(0, len(tables), _LOOKED_AT):
        looked_at = tables[start : start + _LOOKED_AT]
        present = looked_at[in_data(image, offsets[looked_at], size)]
        done += (len(looked_at) - len(present)) * size
        for part in _parts(present, size):
            pieces.append(finder.find(read_clusters(image, offsets[part], size), part))
            done += len(part) * size
            if len(pieces) == _PIECES or sum(len(piece.raw) for piece in pieces) >= _ROWS:
                yield done, finder.batch(pieces)
                pieces, done = [], 0
    if done:
        yield done, finder.batch(pieces)


def _parts(tables: Ints, size: int) -> Iterator[Ints]:
    """Tables that are read together."""
    step = max(1, _READ // size)
    for start in range(0, len(tables), step):
        yield tables[start : start + step]


def in_data(image: Image, offsets: Ints, size: int) -> npt.NDArray[np.bool_]:
    """True for tables, in order of offset, of which something is stored; asked only where many lie far apart."""
    import numpy as np

    inside = offsets < image.end
    if not inside.any() or len(offsets) * size < _READ or image.source.allocated >= image.source.size // 2:
        return inside
    ends = np.zeros(0, dtype=np.int64)
    ranges = []
    first, last = int(offsets[inside][0]), int(offsets[inside][-1]) + size
    for count, part in enumerate(image.source.data_ranges(HostRange.at(first, last - first))):
        if count > len(offsets):
            return inside
        ranges.append((int(part.start), int(part.end)))
    if not ranges:
        return np.zeros(len(offsets), dtype=bool)
    starts, ends = np.array(ranges, dtype=np.int64).T
    which = np.minimum(np.searchsorted(ends, offsets, side="right"), len(starts) - 1)
    found: npt.NDArray[np.bool_] = inside & (starts[which] < offsets + size) & (ends[which] > offsets)
    return found


def read_clusters(image: Image, offsets: Ints, size: int) -> bytes:
    """The bytes of several tables of ``size`` bytes each; neighbours are read together.

    Raises:
        CannotRead: the image file cannot be read.
    """
    import numpy as np

    borders = np.flatnonzero(np.diff(offsets) != size) + 1
    starts = [0, *borders.tolist()]
    ends = [*borders.tolist(), len(offsets)]
    parts = [image.read(int(offsets[start]), (end - start) * size) for start, end in zip(starts, ends, strict=True)]
    return parts[0] if len(parts) == 1 else b"".join(parts)


@dataclass(frozen=True)
class _Piece:
    """The runs of tables that were read together: table, first index, entries, first entry, its bitmap."""

    table: Ints
    index: Ints
    length: Ints
    raw: Column
    bitmap: Column


class _Runs:
    """Finds the runs of the entries of tables."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._geometry = image.geometry

    def find(self, data: bytes, tables: Ints) -> _Piece:
        """The runs in the bytes of some tables."""
        import numpy as np

        words = np.frombuffer(data, dtype=">u8").astype(np.uint64)
        raw = bitmap = words
        if self._geometry.extended_l2:
            raw, bitmap = words[0::2], words[1::2]
        heads, lengths = self._split(raw, *self._heads(raw, bitmap))
        entries = self._geometry.l2_entries
        return _Piece(tables[heads // entries], heads % entries, lengths, raw[heads], bitmap[heads])

    def batch(self, pieces: list[_Piece]) -> Batch:
        """The runs of some pieces, with what they say."""
        import numpy as np

        table, index, length, raw, words = (
            np.concatenate([getattr(piece, name) for piece in pieces] or [np.zeros(0, dtype=kind)])
            for name, kind in _COLUMNS.items()
        )
        bitmap = words if self._geometry.extended_l2 else None
        offset = (raw & np.uint64(_OFFSET)).astype(np.int64)
        stream = np.zeros(len(raw), dtype=np.int64)
        if self._is_plain(raw, bitmap):
            kind = np.full(len(raw), ClusterType.NORMAL, dtype=np.uint8)
            return Batch(table, index, length, raw, bitmap, kind, offset, stream, is_plain=True)
        kind = classify_column(raw, extended_l2=self._geometry.extended_l2, data_file=self._image.has_data_file)
        compressed = kind == ClusterType.COMPRESSED
        if compressed.any():
            offset[compressed], stream[compressed] = stream_places(raw[compressed], self._geometry.cluster_bits)
        return Batch(table, index, length, raw, bitmap, kind, offset, stream)

    def _is_plain(self, raw: Column, bitmap: Column | None) -> bool:
        """True if the entries are nothing but aligned offsets inside the file and COPIED flags."""
        import numpy as np

        if self._image.has_data_file or not len(raw):
            return False
        if bitmap is not None and (bitmap & (bitmap >> np.uint64(32))).any():
            return False
        flags = ~(_COPIED | _OFFSET & -self._geometry.cluster_size) & (1 << 64) - 1
        if int(np.bitwise_or.reduce(raw)) & flags:
            return False
        offset = raw & np.uint64(_OFFSET)
        return int(offset.min()) > 0 and int(offset.max()) < self._image.end

    def _heads(self, raw: Column, bitmap: Column) -> tuple[Ints, Ints]:
        """Where runs start and how long they are; runs of zero entries are left out."""
        import numpy as np

        breaks = np.ones(len(raw), dtype=bool)
        inner = breaks[1:]
        step = raw[1:] - raw[:-1]
        np.not_equal(step, np.uint64(self._geometry.cluster_size), out=inner)
        if raw.min() <= 1:
            plain = raw <= 1
            inner |= plain[:-1]
            inner &= ~(plain[1:] & (step == 0))
        if self._geometry.extended_l2 and bitmap.min() != bitmap.max():
            inner |= bitmap[1:] != bitmap[:-1]
        breaks[:: self._geometry.l2_entries] = True
        heads = np.flatnonzero(breaks)
        lengths = np.diff(heads, append=len(raw))
        used = raw[heads] != 0
        if self._geometry.extended_l2:
            used |= bitmap[heads] != 0
        return (heads, lengths) if used.all() else (heads[used], lengths[used])

    def _split(self, raw: Column, heads: Ints, lengths: Ints) -> tuple[Ints, Ints]:
        """Cut runs into single entries where adding a cluster changes more than the offset, or passes the end."""
        import numpy as np

        if not (lengths > 1).any():
            return heads, lengths
        first, last = raw[heads], raw[heads + lengths - 1]
        offset, end = np.uint64(_OFFSET), np.uint64(self._image.end)
        odd = (first >> np.uint64(56) != last >> np.uint64(56)) | ((first & np.uint64(L2Entry.compressed.mask)) != 0)
        odd |= ((first & offset) == 0) & (first > 1)
        odd |= ((first & offset) < end) & ((last & offset) + np.uint64(self._geometry.cluster_size) > end)
        odd &= lengths > 1
        if not odd.any():
            return heads, lengths
        sizes = np.where(odd, 1, lengths)
        times = np.where(odd, lengths, 1)
        within = np.arange(int(times.sum())) - np.repeat(np.cumsum(times) - times, times)
        return np.repeat(heads, times) + within, np.repeat(sizes, times)


def stream_places(raw: Column, cluster_bits: int) -> tuple[Ints, Ints]:
    """Where compressed streams start, and how many bytes they may take, by their entries as stored."""
    import numpy as np

    descriptor = compressed_descriptor(cluster_bits)
    low, shift = descriptor.host_offset.mask, descriptor.additional_sectors.low
    count_mask = descriptor.additional_sectors.mask
    start = (raw & np.uint64(low)).astype(np.int64)
    sectors = ((raw & np.uint64(count_mask)) >> np.uint64(shift)).astype(np.int64) + 1
    return start, sectors * SECTOR - start % SECTOR
