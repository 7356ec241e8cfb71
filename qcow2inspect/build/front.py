"""The front of an image: what is the same for the whole image, and the first cluster that says so."""

from __future__ import annotations

from dataclasses import dataclass

from qcow2inspect.format.extensions.backing_format import BackingFormat
from qcow2inspect.format.extensions.base import Record
from qcow2inspect.format.extensions.bitmaps import Bitmaps
from qcow2inspect.format.extensions.data_file import DataFile
from qcow2inspect.format.extensions.feature_names import KNOWN_FEATURES, FeatureName, FeatureNames, FeatureType
from qcow2inspect.format.geometry import MAX_L1_ENTRIES, SECTOR, Geometry
from qcow2inspect.format.header import (
    MAGIC,
    Autoclear,
    Compatible,
    CompressionType,
    CryptMethod,
    Header,
    HeaderV2,
    Incompatible,
)
from qcow2inspect.units import GuestOffset, HostOffset

__all__ = ["KNOWN_FEATURES", "Layout", "Places", "header_cluster", "padded"]


@dataclass(frozen=True)
class Layout:
    """What is the same for the whole image.

    Attributes:
        size: guest bytes, a multiple of 512.
        version: 2 or 3.
        cluster_bits: log2 of the cluster size, 9 to 21.
        refcount_order: log2 of the refcount width; 4 in version 2.
        compression: compression type of compressed clusters; zlib in version 2.
        extended_l2: 16-byte L2 entries with subclusters; needs version 3 and clusters of 16 KiB.
        crypt_method: what the header says about encryption.
        backing_name: backing file name; empty for none.
        backing_format: its format's name; empty to leave it out.
        data_file: external data file name; empty for none.
        lazy_refcounts: sets the compatible feature bit.
        extra_extensions: further header extensions, magic and data.
        luks_header: the LUKS header and its key material, as they shall lie in the file; empty for none.
        l1_extra: L1 entries beyond those that the disk needs, as for the VM state of a snapshot.
        generations: how often the guest disk may be written over; room for that is kept in the refcount table.
    """

    size: int
    version: int = 3
    cluster_bits: int = 16
    refcount_order: int = 4
    compression: CompressionType = CompressionType.ZLIB
    extended_l2: bool = False
    crypt_method: CryptMethod = CryptMethod.NONE
    backing_name: bytes = b""
    backing_format: bytes = b""
    data_file: bytes = b""
    lazy_refcounts: bool = False
    extra_extensions: tuple[tuple[int, bytes], ...] = ()
    luks_header: bytes = b""
    l1_extra: int = 0
    generations: int = 2

    def __post_init__(self) -> None:
        if self.size < 0 or self.size % SECTOR:
            raise ValueError(f"the disk size {self.size} is no multiple of {SECTOR}")
        if self.version == 2 and (self.refcount_order != 4 or self.compression or self.extended_l2 or self.data_file):
            raise ValueError("version 2 has 16-bit refcounts, zlib and none of the newer features")
        if self.geometry.l1_entries(self.size) > MAX_L1_ENTRIES:
            raise ValueError(f"a disk of {self.size:,} bytes needs larger clusters than {self.geometry.cluster_size:,}")

    @property
    def geometry(self) -> Geometry:
        """Sizes that follow."""
        return Geometry(self.cluster_bits, self.refcount_order, self.extended_l2)


@dataclass(frozen=True)
class Places:
    """Where the writer put what the header points to.

    Attributes:
        l1_size: entries of the L1 table.
        l1_table: its host offset.
        refcount_table: host offset of the refcount table.
        refcount_table_clusters: its clusters.
        nb_snapshots: number of snapshots.
        snapshots: host offset of the snapshot table.
        pointers: header extensions that point to LUKS header and bitmaps, magic and data.
    """

    l1_size: int
    l1_table: int
    refcount_table: int
    refcount_table_clusters: int
    nb_snapshots: int
    snapshots: int
    pointers: tuple[tuple[int, bytes], ...]


def header_cluster(layout: Layout, places: Places) -> bytes:
    """The first cluster up to the end of the backing file name.

    Raises:
        ValueError: it does not fit.
    """
    length = HeaderV2.SIZE if layout.version == 2 else Header.SIZE
    room = layout.geometry.cluster_size - length - len(layout.backing_name)
    extensions = _extensions(layout, places, room)
    if len(extensions) > room:
        raise ValueError("header extensions and backing file name do not fit the first cluster")
    name_at = length + len(extensions) if layout.backing_name else 0
    return _header(layout, places, name_at).encode()[:length] + extensions + layout.backing_name


def _header(layout: Layout, places: Places, name_at: int) -> Header:
    return Header(
        magic=MAGIC,
        version=layout.version,
        backing_file_offset=HostOffset(name_at),
        backing_file_size=len(layout.backing_name),
        cluster_bits=layout.cluster_bits,
        size=GuestOffset(layout.size),
        crypt_method=layout.crypt_method,
        l1_size=places.l1_size,
        l1_table_offset=HostOffset(places.l1_table),
        refcount_table_offset=HostOffset(places.refcount_table),
        refcount_table_clusters=places.refcount_table_clusters,
        nb_snapshots=places.nb_snapshots,
        snapshots_offset=HostOffset(places.snapshots),
        incompatible_features=Incompatible(
            Incompatible.make(
                extended_l2=layout.extended_l2,
                compression_type=layout.compression is not CompressionType.ZLIB,
                data_file=bool(layout.data_file),
            )
        ),
        compatible_features=Compatible(Compatible.make(lazy_refcounts=layout.lazy_refcounts)),
        autoclear_features=Autoclear(
            Autoclear.make(bitmaps=any(magic == Bitmaps.MAGIC for magic, _ in places.pointers))
        ),
        refcount_order=layout.refcount_order,
        header_length=Header.SIZE,
        compression_type=layout.compression,
        padding=bytes(7),
    )


def _extensions(layout: Layout, places: Places, room: int) -> bytes:
    records = []
    if layout.backing_format:
        records.append(_record(BackingFormat.MAGIC, layout.backing_format))
    if layout.data_file:
        records.append(_record(DataFile.MAGIC, layout.data_file))
    records += [_record(magic, data) for magic, data in (*places.pointers, *layout.extra_extensions)]
    end = _record(0, b"")
    names = _record(FeatureNames.MAGIC, b"".join(_feature(*key, name) for key, name in KNOWN_FEATURES.items()))
    if layout.version >= 3 and len(names) + len(end) + sum(map(len, records)) <= room:
        records.append(names)
    return b"".join(records) + end


def _record(magic: int, data: bytes) -> bytes:
    return Record(magic, len(data)).encode() + padded(data)


def padded(data: bytes) -> bytes:
    """``data`` with zeros up to a multiple of 8 bytes."""
    return data.ljust(-(-len(data) // 8) * 8, b"\0")


def _feature(kind: FeatureType, bit: int, name: str) -> bytes:
    return FeatureName(kind, bit, name.encode().ljust(46, b"\0")).encode()
