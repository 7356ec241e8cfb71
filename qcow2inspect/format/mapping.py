"""From guest cluster to host cluster: L1 entries, L2 entries, subclusters, compressed cluster descriptors.

Spec: L1 table; L2 table (cluster descriptor, Standard Cluster Descriptor, Compressed Clusters Descriptor);
Extended L2 Entries.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING

from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.layout.word import Bits, R, Word, flag, number, offset, reserved
from qcow2inspect.units import HostOffset, HostRange

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.layout.word import Column

__all__ = [
    "ClusterType",
    "CompressedDescriptor",
    "L1Entry",
    "L2Entry",
    "L2EntryExtended",
    "SubclusterBitmap",
    "classify",
    "classify_column",
    "compressed_descriptor",
    "standard_entry",
    "subcluster_type",
    "subcluster_types",
]


class ClusterType(IntEnum):
    """What a guest cluster, or a subcluster of an extended L2 entry, is."""

    UNALLOCATED = 0
    """Nothing stored here: the backing file's bytes, or zeros without one."""
    ZERO_PLAIN = 1
    """Reads as zeros; no host cluster."""
    ZERO_ALLOC = 2
    """Reads as zeros; a host cluster is reserved and may hold older bytes."""
    NORMAL = 3
    """The bytes lie in a host cluster."""
    COMPRESSED = 4
    """The bytes lie compressed in a run of host sectors."""
    UNALLOCATED_ALLOC = 5
    """Subcluster only: nothing stored here, though the cluster has a host cluster."""
    INVALID = 6
    """Extended L2 entry that contradicts itself."""

    @property
    def word(self) -> str:
        """The name that screens and reports use."""
        return _WORDS[self]


_WORDS = {
    ClusterType.UNALLOCATED: "unallocated",
    ClusterType.ZERO_PLAIN: "zero-plain",
    ClusterType.ZERO_ALLOC: "zero-alloc",
    ClusterType.NORMAL: "normal",
    ClusterType.COMPRESSED: "compressed",
    ClusterType.UNALLOCATED_ALLOC: "unallocated (host cluster reserved)",
    ClusterType.INVALID: "invalid",
}


class L1Entry(Word[R]):
    """An entry of an L1 table: where an L2 table lies. Spec: L1 table."""

    copied = flag(63, "COPIED: the refcount of the L2 table is exactly one (meaningful in the active L1 table)")
    reserved_high = reserved(56, 62)
    l2_table_offset = offset(9, 55, HostOffset, "Where the L2 table starts; 0 if the whole range is unallocated")
    reserved_low = reserved(0, 8)


class L2Entry(Word[R]):
    """A standard cluster descriptor. Spec: L2 table, Standard Cluster Descriptor."""

    copied = flag(63, "COPIED: the refcount of the host cluster is exactly one (meaningful in active tables)")
    compressed = flag(62, "This is a compressed cluster descriptor")
    reserved_high = reserved(56, 61)
    host_cluster_offset = offset(9, 55, HostOffset, "Where the data lies; 0 if unallocated")
    reserved_low = reserved(1, 8)
    reads_as_zero = flag(0, "The cluster reads as zeros, whatever its host cluster holds")


class L2EntryExtended(Word[R]):
    """The first half of an extended L2 entry: bit 0 is reserved, the bitmap says what reads as zero.

    Spec: Extended L2 Entries.
    """

    copied = flag(63, "COPIED: the refcount of the host cluster is exactly one (meaningful in active tables)")
    compressed = flag(62, "This is a compressed cluster descriptor")
    reserved_high = reserved(56, 61)
    host_cluster_offset = offset(9, 55, HostOffset, "Where the data lies; 0 if unallocated")
    reserved_low = reserved(0, 8)


class SubclusterBitmap(Word[R]):
    """The second half of an extended L2 entry. Bit i of each half belongs to subcluster i.

    Spec: Extended L2 Entries.
    """

    reads_as_zero = number(32, 63, "Subclusters that read as zeros, subcluster 0 in the lowest bit")
    allocated = number(0, 31, "Subclusters that are allocated, subcluster 0 in the lowest bit")


class CompressedDescriptor(Word[R]):
    """A compressed cluster descriptor; the border between its fields depends on the cluster size.

    Make the class for a cluster size with :func:`compressed_descriptor`.

    Spec: L2 table, Compressed Clusters Descriptor.
    """

    if TYPE_CHECKING:
        copied: Bits[bool, npt.NDArray[np.bool_]]
        compressed: Bits[bool, npt.NDArray[np.bool_]]
        additional_sectors: Bits[int, Column]
        host_offset: Bits[HostOffset, Column]

    def run(self: CompressedDescriptor[int]) -> HostRange:
        """Host bytes that may hold the stream: from its first byte to the end of its last sector."""
        start = self.host_offset
        first_sector = start & ~(SECTOR - 1)
        return HostRange(start, HostOffset(first_sector + (self.additional_sectors + 1) * SECTOR))


@cache
def compressed_descriptor(cluster_bits: int) -> type[CompressedDescriptor[int]]:
    """The descriptor class for a cluster size: the offset takes ``62 - (cluster_bits - 8)`` bits."""
    x = 62 - (cluster_bits - 8)

    class Descriptor(CompressedDescriptor[R]):
        copied = flag(63, "COPIED: must be zero for compressed clusters")
        compressed = flag(62, "This is a compressed cluster descriptor")
        additional_sectors = number(x, 61, "Number of 512-byte sectors of the compressed data, less one")
        host_offset = offset(0, x - 1, HostOffset, "Where the compressed data starts; any byte")

    Descriptor.__name__ = f"CompressedDescriptor{cluster_bits}"
    return Descriptor


def standard_entry(extended_l2: bool) -> type[L2Entry[int]] | type[L2EntryExtended[int]]:
    """The class of the first 64 bits of an L2 entry that is not compressed."""
    return L2EntryExtended if extended_l2 else L2Entry


_OFFSET = L2Entry.host_cluster_offset.mask


def classify(raw: int, *, extended_l2: bool = False, data_file: bool = False) -> ClusterType:
    """Type of the cluster that an L2 entry with value ``raw`` describes.

    Args:
        raw: the entry; its first 64 bits if it is an extended one.
        extended_l2: the image has extended L2 entries; then bit 0 means nothing.
        data_file: the image has an external data file; then COPIED without an offset is host offset 0.
    """
    if raw & L2Entry.compressed.mask:
        return ClusterType.COMPRESSED
    if raw & 1 and not extended_l2:
        return ClusterType.ZERO_ALLOC if raw & _OFFSET else ClusterType.ZERO_PLAIN
    if not raw & _OFFSET and not (data_file and raw >> 63):
        return ClusterType.UNALLOCATED
    return ClusterType.NORMAL


def classify_column(raw: Column, *, extended_l2: bool = False, data_file: bool = False) -> npt.NDArray[np.uint8]:
    """:func:`classify` for a whole column: ``uint8`` values of :class:`ClusterType`, same shape and index."""
    import numpy as np

    stored = (raw & np.uint64(_OFFSET)) != 0
    if data_file:
        stored |= (raw >> np.uint64(63)) != 0
    types = np.where(stored, np.uint8(ClusterType.NORMAL), np.uint8(ClusterType.UNALLOCATED))
    if not extended_l2:
        zero = (raw & np.uint64(1)) != 0
        if zero.any():
            has_offset = (raw[zero] & np.uint64(_OFFSET)) != 0
            types[zero] = np.where(has_offset, ClusterType.ZERO_ALLOC, ClusterType.ZERO_PLAIN)
    compressed = (raw & np.uint64(L2Entry.compressed.mask)) != 0
    if compressed.any():
        types[compressed] = ClusterType.COMPRESSED
    return types


def subcluster_type(entry: ClusterType, bitmap: int, index: int) -> ClusterType:
    """Type of subcluster ``index`` (0 to 31) of an extended L2 entry.

    Args:
        entry: type of the entry, from :func:`classify`.
        bitmap: the second 64 bits of the entry.
        index: number of the subcluster.
    """
    if entry is ClusterType.COMPRESSED:
        return entry
    zero, allocated = bitmap >> (32 + index) & 1, bitmap >> index & 1
    if entry is ClusterType.NORMAL:
        if bitmap >> 32 & bitmap:
            return ClusterType.INVALID
        if zero:
            return ClusterType.ZERO_ALLOC
        return ClusterType.NORMAL if allocated else ClusterType.UNALLOCATED_ALLOC
    if bitmap & 0xFFFF_FFFF:
        return ClusterType.INVALID
    return ClusterType.ZERO_PLAIN if zero else ClusterType.UNALLOCATED


def subcluster_types(entry: ClusterType, bitmap: int) -> list[tuple[ClusterType, int, int]]:
    """Runs of equal subclusters of an extended L2 entry: type, first subcluster, one past the last."""
    runs: list[tuple[ClusterType, int, int]] = []
    for index in range(32):
        kind = subcluster_type(entry, bitmap, index)
        if runs and runs[-1][0] is kind:
            runs[-1] = (kind, runs[-1][1], index + 1)
        else:
            runs.append((kind, index, index + 1))
    return runs
