"""The image header, versions 2 and 3.

::

    byte 0        72              104             112        header_length            cluster end
    | version 2    | v3: features  | compression   | fields of  | extensions ... | name |
    |              | refcount_order| type, padding | the future |                |      |

In version 2 byte 72 already is the first header extension; the fields from there on have implied values.

Spec: Header; Additional fields.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from qcow2inspect.layout.openenum import OpenEnum
from qcow2inspect.layout.structure import Structure, blob, u8, u32, u64
from qcow2inspect.layout.word import R, Word, flag, reserved
from qcow2inspect.units import GuestOffset, HostOffset, exact_size

if TYPE_CHECKING:
    from qcow2inspect.layout.node import Node
    from qcow2inspect.layout.structure import Row

__all__ = [
    "MAGIC",
    "Autoclear",
    "Compatible",
    "CompressionType",
    "CryptMethod",
    "Header",
    "HeaderV2",
    "HeaderV3",
    "Incompatible",
    "magic_shown",
    "utc",
]

MAGIC = 0x514649FB
"""The bytes ``QFI\\xfb`` at the start of every image."""


class CryptMethod(OpenEnum):
    """How guest data is encrypted. Spec: Header, crypt_method."""

    NONE = 0
    AES = 1
    LUKS = 2


class CompressionType(OpenEnum):
    """How compressed clusters are compressed. Spec: Additional fields, compression_type."""

    ZLIB = 0
    ZSTD = 1


class Incompatible(Word[R]):
    """Features that a reader must understand. Spec: Header, incompatible_features."""

    unknown = reserved(5, 63)
    extended_l2 = flag(4, "L2 entries are 128 bits wide and hold a subcluster allocation bitmap")
    compression_type = flag(3, "The compression type field is not zero: clusters are not compressed with zlib")
    data_file = flag(2, "Guest data lies in an external data file")
    corrupt = flag(1, "A program found the metadata corrupt and stopped writing")
    dirty = flag(0, "The image was not closed cleanly; refcounts may be wrong, the mapping is right")


class Compatible(Word[R]):
    """Features that a reader may ignore. Spec: Header, compatible_features."""

    unknown = reserved(1, 63)
    lazy_refcounts = flag(0, "Refcounts may be updated late; the dirty bit tells when they are")


class Autoclear(Word[R]):
    """Features that a writer that does not know them must switch off. Spec: Header, autoclear_features."""

    unknown = reserved(2, 63)
    raw_data_file = flag(1, "The external data file is a valid raw image by itself")
    bitmaps = flag(0, "The bitmaps extension agrees with the image")


def magic_shown(magic: int) -> str:
    """The magic number as its four characters: ``QFI\\xfb``."""
    return "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in magic.to_bytes(4, "big"))


def utc(seconds: int) -> str:
    """Seconds since 1970 as UTC in ISO 8601, for any 32-bit number."""
    import datetime

    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _cluster_shown(bits: int) -> str:
    return f"{bits} ({exact_size(1 << bits)})" if bits < 64 else f"{bits:,}"


def _order_shown(order: int) -> str:
    return f"{order} ({1 << order}-bit refcounts)" if order <= 6 else f"{order:,}"


class HeaderV2(Structure):
    """The first 72 bytes of every image."""

    magic: int = u32(0, "QCOW magic string, QFI\\xfb", show=magic_shown)
    version: int = u32(4, "Version number: 2 or 3")
    backing_file_offset: HostOffset = u64(8, "Where the backing file name is stored; 0 if there is no backing file")
    backing_file_size: int = u32(16, "Length of the backing file name in bytes, at most 1023")
    cluster_bits: int = u32(20, "Cluster size is 1 << cluster_bits bytes", show=_cluster_shown)
    size: GuestOffset = u64(24, "Virtual disk size in bytes", show=exact_size)
    crypt_method: CryptMethod = u32(32, "How guest data is encrypted")
    l1_size: int = u32(36, "Number of entries of the active L1 table")
    l1_table_offset: HostOffset = u64(40, "Where the active L1 table starts")
    refcount_table_offset: HostOffset = u64(48, "Where the refcount table starts")
    refcount_table_clusters: int = u32(56, "Number of clusters that the refcount table occupies")
    nb_snapshots: int = u32(60, "Number of internal snapshots")
    snapshots_offset: HostOffset = u64(64, "Where the snapshot table starts")


class HeaderV3(HeaderV2):
    """The first 104 bytes of a version 3 image."""

    incompatible_features: Incompatible[int] = u64(72, "Features that a reader must understand")
    compatible_features: Compatible[int] = u64(80, "Features that a reader may ignore")
    autoclear_features: Autoclear[int] = u64(88, "Features that a writer must understand or switch off")
    refcount_order: int = u32(96, "Refcounts are 1 << refcount_order bits wide", show=_order_shown)
    header_length: int = u32(100, "Length of the header in bytes; the first header extension follows")


_IMPLIED_V2 = bytes(24) + (4).to_bytes(4, "big") + (72).to_bytes(4, "big") + bytes(8)


class Header(HeaderV3):
    """The whole header as this specification knows it; absent fields have their implied values."""

    compression_type: CompressionType = u8(104, "How compressed clusters are compressed")
    padding: bytes = blob(105, 7, "Padding; should be zero", show=lambda data: data.hex(" "))

    @classmethod
    def read(cls, data: bytes) -> Header:
        """Read a header of version 2 or 3 from the start of an image; missing bytes count as zero.

        Version 2 headers end at byte 72 whatever follows; the fields of version 3 get the values that version 2
        implies. Fields at or beyond ``header_length`` are absent and read as zero.
        """
        data = data[: cls.SIZE].ljust(cls.SIZE, b"\0")
        if int.from_bytes(data[4:8], "big") < 3:
            return cls.parse(data[: HeaderV2.SIZE] + _IMPLIED_V2)
        length = max(HeaderV3.SIZE, int.from_bytes(data[100:104], "big"))
        return cls.parse(data[:length].ljust(cls.SIZE, b"\0"))

    @property
    def stored_size(self) -> int:
        """Bytes of the header that are fields of this specification: 72, 104 up to 112."""
        return min(max(self.header_length, HeaderV3.SIZE), self.SIZE) if self.version >= 3 else HeaderV2.SIZE

    def stored_rows(self) -> tuple[Row, ...]:
        """The rows that exist in this image: a field exists if the header length reaches past its offset."""
        return tuple(row for row in self.ROWS if row.at < self.stored_size)

    def stored_nodes(self, spec: str = "Header") -> list[Node]:
        """One node for each field that exists in this image."""
        nodes = [self.node(row, 0, "hdr", "header", spec) for row in self.stored_rows()]
        return [dataclasses.replace(node, where=node.where.clip(0, self.stored_size)) for node in nodes]
