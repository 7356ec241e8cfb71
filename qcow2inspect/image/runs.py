"""Runs of clusters, or of subclusters, that continue each other: many L2 entries as few rows.

Large images are looked at in columns. For a small one to load numpy takes longer than to look at entry by entry, so
that is done first, with the same result once neighbours are joined (a test holds them to it).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.mapping import ClusterType, L2Entry, classify, classify_column, compressed_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.format.geometry import Geometry
    from qcow2inspect.image.table import L2Table

__all__ = ["HAS_HOST", "Run", "RunFinder", "columns_pay"]

HAS_HOST = (ClusterType.NORMAL, ClusterType.ZERO_ALLOC, ClusterType.UNALLOCATED_ALLOC)
"""Types whose entries say where host clusters lie."""
_OFFSET = L2Entry.host_cluster_offset.mask
_COMPRESSED = L2Entry.compressed.mask
_LOADING = 1 << 19  # entries of one run that are looked at one by one in the time in which numpy is loaded
_FEW = 16  # neighbours that are runs of their own whatever their fate: each says where it leads
_RUN = 16  # entries, to which the cost of a run compares

_looked_at = 0


def columns_pay(entries: int, runs: int = 0) -> bool:
    """True if numpy is there, or so much has been looked at without it that it should be.

    Args:
        entries: how many are to be looked at next.
        runs: how many runs have been found without it.
    """
    global _looked_at  # noqa: PLW0603 - one process loads numpy once, whichever image needs it
    _looked_at += entries + _RUN * runs
    return "numpy" in sys.modules or _looked_at > _LOADING


class Run(NamedTuple):
    """Subclusters (clusters without extended L2 entries) of one type, in host order if they lie somewhere.

    Attributes:
        start: guest offset, counted from the first entry.
        size: guest bytes.
        kind: value of their :class:`ClusterType`.
        host: where the first one lies, or the stream of a compressed cluster; 0 if that is nowhere.
        host_size: host bytes that belong to it.
        sound: nothing is odd about them: aligned, inside the file, allowed by the version.
        entry: the first entry.
    """

    start: int
    size: int
    kind: int
    host: int
    host_size: int
    sound: bool
    entry: int


_AS_RUN: Callable[[tuple[int, ...]], Run] = partial(tuple.__new__, Run)  # as Run._make, which counts them


@dataclass(frozen=True)
class RunFinder:
    """Finds runs in L2 entries.

    Attributes:
        geometry: of the image.
        has_data_file: normal clusters lie in an external data file; no run is sound then.
        has_zero_flag: version 3, where entries may say that they read as zeros.
        end: bytes of the image file.
        coarse: neighbours that share one fate are one run if they are many, though their entries lead to different
            places: those that are not aligned, and those that lie past the end of the image file. The first one says
            where. So long as numpy is not loaded they may be apart.
    """

    geometry: Geometry
    has_data_file: bool
    has_zero_flag: bool
    end: int
    coarse: bool = False

    @cached_property
    def _places(self) -> npt.NDArray[np.uint64]:
        """Guest offsets of the subclusters of a whole table."""
        import numpy as np

        count = self.geometry.l2_entries * self.geometry.subclusters
        return np.arange(count, dtype=np.uint64) * np.uint64(self.geometry.subcluster_size)

    @cached_property
    def _may_be_sound(self) -> npt.NDArray[np.bool_]:
        import numpy as np

        odd = [ClusterType.INVALID]
        odd += [] if self.has_zero_flag else [ClusterType.ZERO_PLAIN, ClusterType.ZERO_ALLOC]
        return ~np.isin(np.arange(len(ClusterType)), odd) & (not self.has_data_file)

    def runs(self, table: L2Table, first: int, last: int) -> Iterator[Run]:
        """The runs of entries ``[first, last)`` of a table; neighbours may continue each other."""
        if table.extended or columns_pay(last - first):
            return self._in_columns(table.words(first, last))
        found = list(self._one_by_one(table.integers(first, last)))
        columns_pay(0, len(found))
        return iter(found)

    def _one_by_one(self, words: Sequence[int]) -> Iterator[Run]:
        """The runs of standard entries, found without numpy."""
        bits, unit, count, index = self.geometry.cluster_bits, self.geometry.cluster_size, len(words), 0
        odd = () if self.has_zero_flag else (ClusterType.ZERO_PLAIN, ClusterType.ZERO_ALLOC)
        stream, more, shift = _stream_bits(bits)
        while index < count:
            first, raw = index, words[index]
            index += 1
            if raw & _COMPRESSED:
                host = raw & stream
                size = (((raw & more) >> shift) + 1) * SECTOR - host % SECTOR
                yield Run(first << bits, unit, ClusterType.COMPRESSED, host, size, not self.has_data_file, raw)
                continue
            kind, host, size = classify(raw, data_file=self.has_data_file), 0, 0
            if kind is ClusterType.NORMAL or kind is ClusterType.ZERO_ALLOC:
                host = raw & _OFFSET
                if index < count and words[index] == raw + unit:
                    stop = min(count, first + (_OFFSET + SECTOR - host >> bits))  # the next would be another offset
                    index = _while(words, raw + unit, unit, index, stop)
                size = (index - first) << bits
            else:
                index = _while(words, raw, 0, index, count)
            sound = not host & (unit - 1) and host + size <= self.end and not self.has_data_file and kind not in odd
            yield Run(first << bits, (index - first) << bits, kind, host, size, sound, raw)

    def _in_columns(self, words: npt.NDArray[np.uint64]) -> Iterator[Run]:
        """The runs of entries of any kind.

        Args:
            words: the entries, shape ``(entries, 1)``, or ``(entries, 2)`` with their bitmaps.
        """
        import numpy as np

        unit, count = self.geometry.subcluster_size, self.geometry.subclusters
        raw = words[:, 0]
        kinds = classify_column(raw, extended_l2=count > 1, data_file=self.has_data_file)
        hosts = raw & np.uint64(L2Entry.host_cluster_offset.mask)
        if count > 1:
            kinds, hosts = _expand(kinds, hosts, words[:, 1], unit)
        place, has_host = self._places[: len(kinds)], _has_host(kinds)
        base = hosts - place  # equal along a run that lies somewhere
        breaks = (kinds[1:] != kinds[:-1]) | (has_host[1:] & (base[1:] != base[:-1]))
        packed = kinds[1:] == ClusterType.COMPRESSED
        if packed.any():
            breaks |= packed & (np.arange(1, len(kinds)) % count == 0)
        edges = np.concatenate(([0], breaks.nonzero()[0] + 1, [len(kinds)]))
        first = edges[:-1]
        sizes = (edges[1:] - first).astype(np.uint64) * np.uint64(unit)
        entries, kinds, has_host, base = raw[first // count], kinds[first], has_host[first], base[first]
        hosts = np.where(has_host, hosts[first], np.uint64(0))
        hosts, host_sizes = self._hosts(entries, kinds, hosts, np.where(has_host, sizes, np.uint64(0)))
        aligned = (base & np.uint64(self.geometry.cluster_size - 1) == 0) | ~has_host
        inside = (hosts + host_sizes <= np.uint64(self.end)) | (kinds == ClusterType.COMPRESSED)
        sound = self._may_be_sound[kinds] & aligned & inside
        columns = (place[first], sizes, kinds, hosts, host_sizes, sound, entries)
        if self.coarse:
            kept = self._new_fates(kinds, hosts, aligned).nonzero()[0]
            rows = [column[kept] for column in columns]
            rows[1] = np.add.reduceat(sizes, kept)
        else:
            rows = list(columns)
        return map(_AS_RUN, zip(*(column.tolist() for column in rows), strict=True))

    def _new_fates(
        self, kinds: npt.NDArray[np.uint8], hosts: npt.NDArray[np.uint64], aligned: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """Which runs do not share the fate of the one before.

        A stream counts as past the end if it starts a sector behind it: no stream that starts in the same place, be it
        ever so short, is then thought to be whole.
        """
        import numpy as np

        size = self.geometry.cluster_size
        packed, end = kinds == ClusterType.COMPRESSED, -(-self.end // size) * size
        past_end = np.where(packed, hosts >= np.uint64(self.end + SECTOR), _has_host(kinds) & (hosts >= np.uint64(end)))
        fates = np.where(aligned, past_end & (not self.has_data_file), 2)
        fresh = (fates[1:] != fates[:-1]) | (kinds[1:] != kinds[:-1]) | (fates[1:] == 0)
        fresh = np.concatenate(([True], fresh))
        lengths = np.diff(np.append(fresh.nonzero()[0], len(fresh)))
        return np.asarray(fresh | np.repeat(lengths <= _FEW, lengths))

    def _hosts(
        self,
        entries: npt.NDArray[np.uint64],
        kinds: npt.NDArray[np.uint8],
        hosts: npt.NDArray[np.uint64],
        sizes: npt.NDArray[np.uint64],
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Where runs lie, and how many bytes belong to them, those of streams included."""
        packed = kinds == ClusterType.COMPRESSED
        if packed.any():
            streams = compressed_descriptor(self.geometry.cluster_bits)(entries[packed])
            hosts[packed] = streams.host_offset
            sizes[packed] = (streams.additional_sectors + 1) * SECTOR - streams.host_offset % SECTOR
        return hosts, sizes


def _stream_bits(cluster_bits: int) -> tuple[int, int, int]:
    """Of a compressed descriptor: mask of the host offset, mask of the additional sectors, and its lowest bit."""
    descriptor = compressed_descriptor(cluster_bits)
    more = descriptor.additional_sectors.mask
    return descriptor.host_offset.mask, more, (more & -more).bit_length() - 1


def _while(words: Sequence[int], wanted: int, step: int, index: int, stop: int) -> int:
    """Where entries end to be ``wanted``, ``wanted + step``, ``wanted + 2 * step``, ..."""
    while index < stop and words[index] == wanted:
        index += 1
        wanted += step
    return index


def _has_host(kinds: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Which types say where host clusters lie."""
    found: npt.NDArray[np.bool_] = kinds == HAS_HOST[0]
    for kind in HAS_HOST[1:]:
        found |= kinds == kind
    return found


def _expand(
    kinds: npt.NDArray[np.uint8], hosts: npt.NDArray[np.uint64], bitmaps: npt.NDArray[np.uint64], size: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint64]]:
    """Types and host offsets of all subclusters: arrays of ``32 * len(kinds)``, subcluster 0 of entry 0 first."""
    import numpy as np

    bits = np.unpackbits(bitmaps.astype("<u8").view(np.uint8), bitorder="little").view(np.bool_).reshape(-1, 64)
    allocated, zero = bits[:, :32], bits[:, 32:]
    unallocated, zero_plain, zero_alloc, normal, _, unallocated_alloc, _ = map(np.uint8, ClusterType)
    with_host = np.where(zero, zero_alloc, np.where(allocated, normal, unallocated_alloc))
    is_normal = kinds == ClusterType.NORMAL
    types = np.where(is_normal[:, None], with_host, np.where(zero, zero_plain, unallocated))
    invalid = np.where(is_normal, (allocated & zero).any(axis=1), allocated.any(axis=1))
    types[invalid] = ClusterType.INVALID
    types[kinds == ClusterType.COMPRESSED] = ClusterType.COMPRESSED
    offsets = hosts[:, None] + np.arange(32, dtype=np.uint64) * np.uint64(size)
    return types.reshape(-1), offsets.reshape(-1)
