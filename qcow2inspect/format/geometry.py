"""The numbers that follow from cluster size, refcount width and the kind of L2 entries; and the format's limits."""

from __future__ import annotations

from dataclasses import dataclass

from qcow2inspect.units import GuestOffset, GuestRange

__all__ = [
    "CLUSTER_BITS",
    "MAX_BACKING_NAME",
    "MAX_BITMAPS",
    "MAX_L1_ENTRIES",
    "MAX_REFCOUNT_TABLE",
    "MAX_SNAPSHOTS",
    "MAX_SNAPSHOT_EXTRA",
    "MAX_SNAPSHOT_TABLE",
    "SECTOR",
    "Geometry",
]

SECTOR = 512
"""Bytes of a sector: the unit of the virtual disk size and of compressed lengths."""
CLUSTER_BITS = range(9, 22)
"""Cluster sizes from 512 bytes to 2 MiB."""
MAX_L1_ENTRIES = 4_194_304
"""QEMU refuses an L1 table above 32 MiB."""
MAX_REFCOUNT_TABLE = 8 << 20
"""QEMU refuses a refcount table above 8 MiB."""
MAX_SNAPSHOTS = 65_536
"""QEMU refuses more snapshots."""
MAX_SNAPSHOT_EXTRA = 1024
"""QEMU refuses more extra data in one snapshot table entry."""
MAX_SNAPSHOT_TABLE = 64 << 20
"""QEMU refuses a larger snapshot table."""
MAX_BACKING_NAME = 1023
"""Longest backing file name, in bytes."""
MAX_BITMAPS = 65_535
"""QEMU refuses more bitmaps."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes of tables and clusters, and the arithmetic from guest offset to table indices.

    Attributes:
        cluster_bits: log2 of the cluster size, 9 to 21.
        refcount_order: log2 of the refcount width in bits, 0 to 6.
        extended_l2: True for 16-byte L2 entries with a subcluster allocation bitmap.

    Spec: L1 table, L2 table, Host cluster management.
    """

    cluster_bits: int
    refcount_order: int = 4
    extended_l2: bool = False

    @property
    def cluster_size(self) -> int:
        """Bytes of a cluster."""
        return 1 << self.cluster_bits

    @property
    def l2_entry_size(self) -> int:
        """Bytes of an L2 entry: 8, or 16 with extended L2 entries."""
        return 16 if self.extended_l2 else 8

    @property
    def l2_bits(self) -> int:
        """Log2 of the number of entries of an L2 table."""
        return self.cluster_bits - (4 if self.extended_l2 else 3)

    @property
    def l2_entries(self) -> int:
        """Entries of an L2 table (it fills one cluster)."""
        return 1 << self.l2_bits

    @property
    def l2_span(self) -> int:
        """Guest bytes that one L2 table maps."""
        return 1 << (self.cluster_bits + self.l2_bits)

    @property
    def subclusters(self) -> int:
        """Subclusters of a cluster: 32 with extended L2 entries, else 1."""
        return 32 if self.extended_l2 else 1

    @property
    def subcluster_size(self) -> int:
        """Bytes of a subcluster; a whole cluster without extended L2 entries."""
        return self.cluster_size // self.subclusters

    @property
    def refcount_bits(self) -> int:
        """Width of a refcount in bits, 1 to 64."""
        return 1 << self.refcount_order

    @property
    def refcount_block_entries(self) -> int:
        """Refcounts in one refcount block (it fills one cluster)."""
        return self.cluster_size * 8 >> self.refcount_order

    @property
    def refcount_max(self) -> int:
        """The largest refcount that can be stored."""
        return (1 << self.refcount_bits) - 1

    def l1_entries(self, size: int) -> int:
        """L1 entries that a disk of ``size`` guest bytes needs."""
        return -(-size // self.l2_span)

    def l1_index(self, guest: GuestOffset) -> int:
        """Index in the L1 table of the entry that maps ``guest``."""
        return guest >> (self.cluster_bits + self.l2_bits)

    def l2_index(self, guest: GuestOffset) -> int:
        """Index in its L2 table of the entry that maps ``guest``."""
        return guest >> self.cluster_bits & (self.l2_entries - 1)

    def guest_cluster(self, l1_index: int, l2_index: int) -> GuestRange:
        """Guest bytes that one L2 entry maps, before the end of the disk cuts them."""
        return GuestRange.at(l1_index * self.l2_span + (l2_index << self.cluster_bits), self.cluster_size)

    def guest_span(self, l1_index: int) -> GuestRange:
        """Guest bytes that one L1 entry maps, before the end of the disk cuts them."""
        return GuestRange.at(l1_index * self.l2_span, self.l2_span)

    def host_clusters(self, size: int) -> int:
        """Clusters that ``size`` host bytes fill, the last one perhaps in part."""
        return -(-size // self.cluster_size)

    def is_aligned(self, offset: int) -> bool:
        """True if ``offset`` is a multiple of the cluster size."""
        return not offset & (self.cluster_size - 1)
