"""The stored refcounts of all host clusters, and the refcount table that leads to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.format.refcount import RefcountTableEntry
from qcow2inspect.layout import packed
from qcow2inspect.survey.columns import Tally
from qcow2inspect.survey.walk import read_clusters

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.format.geometry import Geometry
    from qcow2inspect.image.image import Image
    from qcow2inspect.layout.word import Column
    from qcow2inspect.survey.columns import Ints

__all__ = ["READABLE", "StoredRefcounts", "read_refcounts"]

_BATCH = 2 << 20
_REPEATED = 16 << 20
READABLE = (1 << 63) - (1 << 30)
"""Bytes that QEMU can read of a file at most."""


@dataclass(frozen=True)
class StoredRefcounts:
    """What the refcount blocks say.

    Attributes:
        counts: the stored refcount of every host cluster; zero where there is no block.
        table: the entries of the refcount table as stored, ``uint64``; what the file does not hold is zero.
        offsets: where the blocks lie, ``int64``, zero for none; offsets beyond any possible file are -1.
        entries: refcounts in a block.
        cluster_size: bytes of a cluster.
        left_out: entries of the refcount table that lead to a block again and were not counted: there are too many.
    """

    counts: Tally
    table: Column
    offsets: Ints
    entries: int
    cluster_size: int
    left_out: int = 0

    @property
    def unaligned(self) -> npt.NDArray[np.bool_]:
        """True for table entries with an offset that is no multiple of the cluster size."""
        crooked: npt.NDArray[np.bool_] = (self.offsets > 0) & ((self.offsets & (self.cluster_size - 1)) != 0)
        return crooked

    @property
    def broken(self) -> npt.NDArray[np.bool_]:
        """True for table entries whose block QEMU cannot read at all: unaligned, or beyond any possible file."""
        broken: npt.NDArray[np.bool_] = self.unaligned | (self.offsets < 0)
        return broken

    def is_covered(self, clusters: Ints) -> npt.NDArray[np.bool_]:
        """True for clusters with a refcount block where a block can be."""
        import numpy as np

        if not len(self.offsets):
            return np.zeros(len(clusters), dtype=bool)
        index = clusters // self.entries
        inside = index < len(self.offsets)
        at = self.offsets[np.where(inside, index, 0)]
        covered: npt.NDArray[np.bool_] = inside & (at > 0) & ((at & (self.cluster_size - 1)) == 0)
        return covered

    def unreadable(self, starts: Ints, lengths: Ints) -> Ints:
        """How many clusters of each stretch have a refcount that cannot be read, for their block is unaligned."""
        import numpy as np

        found = np.zeros(len(starts), dtype=np.int64)
        for index in np.flatnonzero(self.broken).tolist():
            low, high = index * self.entries, (index + 1) * self.entries
            found += np.maximum(0, np.minimum(starts + lengths, high) - np.maximum(starts, low))
        return found


def read_refcounts(image: Image, limit: int) -> StoredRefcounts:
    """Read the refcount table and all refcount blocks.

    Args:
        image: the image.
        limit: clusters of the file.

    Raises:
        CannotRead: the image file cannot be read.
    """
    import numpy as np

    geometry = image.geometry
    column = _refcount_table(image)
    masked = column & np.uint64(RefcountTableEntry.refcount_block_offset.mask)
    offsets = np.where(masked < np.uint64(READABLE), masked, np.uint64((1 << 64) - 1)).astype(np.int64)
    counts = Tally(limit + 1)
    usable = (offsets > 0) & ((offsets & (geometry.cluster_size - 1)) == 0) & (offsets < image.end)
    index = np.flatnonzero(usable)
    is_first = np.zeros(len(index), dtype=bool)
    is_first[np.unique(offsets[index], return_index=True)[1]] = True
    for batch in _batches(index[is_first], geometry.cluster_size):
        _add(counts, _Stretches.of(batch, read_clusters(image, offsets[batch], geometry.cluster_size), geometry))
    left_out = _add_repeated(image, counts, offsets, index[~is_first])
    return StoredRefcounts(counts, column, offsets, geometry.refcount_block_entries, geometry.cluster_size, left_out)


def _refcount_table(image: Image) -> Column:
    """The refcount table, without its tail past the end of the file, without the zeros at its end."""
    import numpy as np

    table = image.refcount_table
    if any(each.code in ("QCOW-HDR-RT-LARGE", "QCOW-HDR-RT-OFFSET") for each in image.obstacles):
        return np.zeros(0, dtype=np.uint64)
    column = table.column(0, max(0, min(len(table), -(-(image.end - table.at) // 8))))
    used = np.flatnonzero(column)
    return column[: int(used[-1]) + 1 if len(used) else 0]


def _batches(index: Ints, size: int) -> Iterator[Ints]:
    step = max(1, _BATCH // size)
    for start in range(0, len(index), step):
        yield index[start : start + step]


@dataclass(frozen=True)
class _Stretches:
    """Stretches of equal refcounts above zero: first cluster, number of clusters, value as ``int64`` bits."""

    starts: Ints
    lengths: Ints
    values: Ints

    @classmethod
    def of(cls, index: Ints, data: bytes, geometry: Geometry) -> _Stretches:
        """Those in the bytes of several blocks; ``index`` are the blocks' places in the refcount table."""
        import numpy as np

        entries, bits = geometry.refcount_block_entries, geometry.refcount_bits
        raw: npt.NDArray[np.generic]
        if bits >= 8:
            raw = np.frombuffer(data, dtype=f">u{bits // 8}").reshape(-1, entries)
        else:
            raw = packed.unpack(data, bits).astype(np.uint8).reshape(-1, entries)
        breaks = np.ones(raw.shape, dtype=bool)
        np.not_equal(raw[:, 1:], raw[:, :-1], out=breaks[:, 1:])
        first = np.flatnonzero(breaks)
        lengths = np.diff(np.append(first, raw.size))
        values = raw.reshape(-1)[first].astype(np.uint64).view(np.int64)
        used = values != 0
        starts = index[first // entries] * entries + first % entries
        return cls(starts[used], lengths[used], values[used])


def _add(counts: Tally, part: _Stretches) -> None:
    counts.add(part.starts, part.lengths, part.values)


def _add_repeated(image: Image, counts: Tally, offsets: Ints, index: Ints) -> int:
    """Blocks that further entries of the refcount table lead to: read once each, and no more of them than is sane.

    Returns:
        Entries that were left out.
    """
    import numpy as np

    geometry, left, left_out = image.geometry, _REPEATED, 0
    index = index[np.argsort(offsets[index], kind="stable")]
    borders = np.flatnonzero(np.diff(offsets[index])) + 1
    for places in np.split(index, borders) if len(index) else ():
        if left <= 0:
            left_out += len(places)
            continue
        at = int(offsets[places[0]])
        block = _Stretches.of(np.zeros(1, dtype=np.int64), image.read(at, geometry.cluster_size), geometry)
        if not len(block.starts):
            continue
        some = places[: max(1, left // len(block.starts))]
        left -= len(some) * len(block.starts)
        left_out += len(places) - len(some)
        starts = (some[:, None] * geometry.refcount_block_entries + block.starts).reshape(-1)
        counts.add(starts, np.tile(block.lengths, len(some)), np.tile(block.values, len(some)))
    return left_out
