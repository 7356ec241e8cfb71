"""Runs of clusters, or of subclusters, that continue each other: many L2 entries as few rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.mapping import ClusterType, L2Entry, classify_column, compressed_descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.format.geometry import Geometry

__all__ = ["HAS_HOST", "Run", "RunFinder"]

HAS_HOST = (ClusterType.NORMAL, ClusterType.ZERO_ALLOC, ClusterType.UNALLOCATED_ALLOC)
"""Types whose entries say where host clusters lie."""


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


@dataclass(frozen=True)
class RunFinder:
    """Finds runs in L2 entries.

    Attributes:
        geometry: of the image.
        has_data_file: normal clusters lie in an external data file; no run is sound then.
        has_zero_flag: version 3, where entries may say that they read as zeros.
        end: bytes of the image file.
    """

    geometry: Geometry
    has_data_file: bool
    has_zero_flag: bool
    end: int

    @cached_property
    def _has_host(self) -> npt.NDArray[np.bool_]:
        """By the value of the type."""
        import numpy as np

        return np.isin(np.arange(len(ClusterType)), HAS_HOST)

    @cached_property
    def _may_be_sound(self) -> npt.NDArray[np.bool_]:
        import numpy as np

        odd = [ClusterType.INVALID]
        odd += [] if self.has_zero_flag else [ClusterType.ZERO_PLAIN, ClusterType.ZERO_ALLOC]
        return ~np.isin(np.arange(len(ClusterType)), odd) & (not self.has_data_file)

    def runs(self, words: npt.NDArray[np.uint64]) -> Iterator[Run]:
        """The runs of entries that follow each other.

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
        place = np.arange(len(kinds), dtype=np.uint64) * np.uint64(unit)
        base = np.where(self._has_host[kinds], hosts - place, np.uint64(0))  # equal along a run
        breaks = (kinds[1:] != kinds[:-1]) | (base[1:] != base[:-1])
        breaks |= (kinds[1:] == ClusterType.COMPRESSED) & (np.arange(1, len(kinds)) % count == 0)
        first = np.concatenate(([0], np.flatnonzero(breaks) + 1))
        sizes = np.diff(first, append=len(kinds)).astype(np.uint64) * np.uint64(unit)
        entries, kinds, base = raw[first // count], kinds[first], base[first]
        hosts, host_sizes = self._hosts(entries, kinds, np.where(self._has_host[kinds], hosts[first], 0), sizes)
        aligned = base & np.uint64(self.geometry.cluster_size - 1) == 0
        inside = (hosts + host_sizes <= np.uint64(self.end)) | (kinds == ClusterType.COMPRESSED)
        sound = self._may_be_sound[kinds] & aligned & inside
        columns = (place[first], sizes, kinds, hosts, host_sizes, sound, entries)
        return map(Run._make, zip(*(column.tolist() for column in columns), strict=True))

    def _hosts(
        self,
        entries: npt.NDArray[np.uint64],
        kinds: npt.NDArray[np.uint8],
        hosts: npt.NDArray[np.uint64],
        sizes: npt.NDArray[np.uint64],
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Where runs lie, and how many bytes belong to them, those of streams included."""
        import numpy as np

        packed = kinds == ClusterType.COMPRESSED
        sizes = np.where(self._has_host[kinds], sizes, np.uint64(0))
        if packed.any():
            streams = compressed_descriptor(self.geometry.cluster_bits)(entries[packed])
            hosts[packed] = streams.host_offset
            sectors = (streams.additional_sectors + np.uint64(1)) * np.uint64(SECTOR)
            sizes[packed] = sectors - streams.host_offset % np.uint64(SECTOR)
        return hosts, sizes


def _expand(
    kinds: npt.NDArray[np.uint8], hosts: npt.NDArray[np.uint64], bitmaps: npt.NDArray[np.uint64], size: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint64]]:
    """Types and host offsets of all subclusters: arrays of ``32 * len(kinds)``, subcluster 0 of entry 0 first."""
    import numpy as np

    index = np.arange(32, dtype=np.uint64)
    allocated = (bitmaps[:, None] >> index & np.uint64(1)) != 0
    zero = (bitmaps[:, None] >> (index + np.uint64(32)) & np.uint64(1)) != 0
    normal = np.where(
        zero, ClusterType.ZERO_ALLOC, np.where(allocated, ClusterType.NORMAL, ClusterType.UNALLOCATED_ALLOC)
    )
    absent = np.where(zero, ClusterType.ZERO_PLAIN, ClusterType.UNALLOCATED)
    is_normal = kinds == ClusterType.NORMAL
    types = np.where(is_normal[:, None], normal, absent)
    invalid = np.where(is_normal, (allocated & zero).any(axis=1), allocated.any(axis=1))
    types[invalid] = ClusterType.INVALID
    types[kinds == ClusterType.COMPRESSED] = ClusterType.COMPRESSED
    offsets = hosts[:, None] + index * np.uint64(size)
    return types.reshape(-1).astype(np.uint8), offsets.reshape(-1)
