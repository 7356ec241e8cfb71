"""Version 1 ("qcow"): its header and its entries.

Differences from version 2: the header has 48 bytes and no L1 size, an L2 table has ``1 << l2_bits`` entries and
need not fill a cluster, offsets need not be aligned to clusters, a compressed size counts bytes, and there are
no refcounts, snapshots or extensions.

Spec: Header, version 1 (QEMU's qcow driver; there is no written specification).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from qcow2inspect.format.header import CryptMethod, magic_shown, utc
from qcow2inspect.layout.structure import Structure, blob, u8, u32, u64
from qcow2inspect.layout.word import Bits, R, Word, flag, number, offset
from qcow2inspect.units import GuestOffset, HostOffset, HostRange, exact_size

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.layout.word import Column

__all__ = ["CompressedDescriptorV1", "HeaderV1", "L1EntryV1", "L2EntryV1", "compressed_descriptor_v1"]


class HeaderV1(Structure):
    """The 48 bytes of a version 1 header."""

    magic: int = u32(0, "QCOW magic string, QFI\\xfb", show=magic_shown)
    version: int = u32(4, "Version number: 1")
    backing_file_offset: HostOffset = u64(8, "Where the backing file name is stored; 0 if there is no backing file")
    backing_file_size: int = u32(16, "Length of the backing file name in bytes")
    mtime: int = u32(20, "Modification time, seconds since 1970", show=lambda n: f"{n} ({utc(n)})" if n else "0")
    size: GuestOffset = u64(24, "Virtual disk size in bytes", show=exact_size)
    cluster_bits: int = u8(32, "Cluster size is 1 << cluster_bits bytes")
    l2_bits: int = u8(33, "An L2 table has 1 << l2_bits entries")
    padding: bytes = blob(34, 2, "Padding", show=lambda data: data.hex(" "))
    crypt_method: CryptMethod = u32(36, "How guest data is encrypted")
    l1_table_offset: HostOffset = u64(40, "Where the L1 table starts; need not be aligned")

    @property
    def l1_size(self) -> int:
        """Entries of the L1 table, which follow from the size of the disk."""
        return -(-self.size // (1 << (self.cluster_bits + self.l2_bits)))


class L1EntryV1(Word[R]):
    """An entry of the L1 table: where an L2 table lies."""

    l2_table_offset = offset(0, 63, HostOffset, "Where the L2 table starts; 0 if the whole range is unallocated")


class L2EntryV1(Word[R]):
    """An L2 entry that is not compressed."""

    compressed = flag(63, "This is a compressed cluster descriptor")
    host_cluster_offset = offset(0, 62, HostOffset, "Where the data lies; 0 if unallocated")


class CompressedDescriptorV1(Word[R]):
    """A compressed cluster descriptor; make the class with :func:`compressed_descriptor_v1`."""

    if TYPE_CHECKING:
        compressed: Bits[bool, npt.NDArray[np.bool_]]
        compressed_size: Bits[int, Column]
        host_offset: Bits[HostOffset, Column]

    def run(self: CompressedDescriptorV1[int]) -> HostRange:
        """Host bytes of the stream, exact."""
        return HostRange.at(self.host_offset, self.compressed_size)


@cache
def compressed_descriptor_v1(cluster_bits: int) -> type[CompressedDescriptorV1[int]]:
    """The descriptor class for a cluster size: the offset takes ``63 - cluster_bits`` bits."""
    x = 63 - cluster_bits

    class Descriptor(CompressedDescriptorV1[R]):
        compressed = flag(63, "This is a compressed cluster descriptor")
        compressed_size = number(x, 62, "Length of the compressed data in bytes")
        host_offset = offset(0, x - 1, HostOffset, "Where the compressed data starts; any byte")

    Descriptor.__name__ = f"CompressedDescriptorV1_{cluster_bits}"
    return Descriptor
