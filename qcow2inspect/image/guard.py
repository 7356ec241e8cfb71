"""What makes QEMU refuse an image: the conditions that it verifies when it opens one.

QEMU refuses the whole image for each of them. Only some make it impossible to say which guest bytes are where
(``blocks_reading``); the others concern structures that a reader of guest data never looks at. The limits and
their order are those of QEMU's open, so that the first obstacle is also QEMU's first complaint. What header
extensions lead to is looked at in :mod:`~qcow2inspect.image.guard_luks` and
:mod:`~qcow2inspect.image.guard_bitmaps`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.errors import CannotRead
from qcow2inspect.format import geometry as limits
from qcow2inspect.format.extensions.backing_format import BackingFormat
from qcow2inspect.format.extensions.bitmaps import Bitmaps
from qcow2inspect.format.extensions.encryption import EncryptionHeader
from qcow2inspect.format.header import CryptMethod, Header, HeaderV3
from qcow2inspect.image.obstacle import Obstacle
from qcow2inspect.units import HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.image import Image

__all__ = ["Obstacle", "header_obstacles", "obstacles"]

_INT64_MAX = (1 << 63) - 1
_MAX_FORMAT = 15


def obstacles(image: Image) -> Iterator[Obstacle]:
    """All obstacles of an image, in QEMU's order; nothing is read that the header does not make necessary."""
    header = image.header
    yield from header_obstacles(header)
    yield from _extensions(image)
    if header.autoclear_features.raw_data_file and not header.incompatible_features.data_file:
        yield Obstacle(
            "QCOW-DF-RAW-NOBIT",
            "autoclear_features",
            header.autoclear_features.raw,
            "the image says that its data file is a raw image, and that it has no data file",
            blocks_reading=False,
        )
    if header.crypt_method is CryptMethod.LUKS and image.extension(EncryptionHeader) is None:
        yield Obstacle(
            "QCOW-CRY-NOEXT",
            "crypt_method",
            header.crypt_method,
            "the header says LUKS but no header extension says where the LUKS header lies",
            blocks_reading=False,
        )
    yield from _name(header)
    yield from _as_far_as_readable(_snapshot_table(image), "QCOW-HDR-SNAP-OFFSET", "snapshots_offset")
    if image.extension(Bitmaps) is not None and header.autoclear_features.bitmaps:
        from qcow2inspect.image.guard_bitmaps import bitmap_obstacles

        yield from _as_far_as_readable(bitmap_obstacles(image), "QCOW-BMP-DIR-BAD", "autoclear_features")


def _as_far_as_readable(found: Iterator[Obstacle], code: str, field: str) -> Iterator[Obstacle]:
    """Obstacles in structures on which guest data does not depend: a bad sector there is one more obstacle."""
    try:
        yield from found
    except CannotRead as error:
        yield Obstacle(code, field, 0, error.what, blocks_reading=False)


def header_obstacles(header: Header) -> Iterator[Obstacle]:
    """The obstacles of the header fields alone, for a header whose cluster size is valid."""
    yield from _length(header)
    yield from _features(header)
    yield from _refcounts_and_snapshots(header)
    yield from _l1_table(header)
    if header.crypt_method > 2:
        yield Obstacle(
            "QCOW-HDR-CRYPT",
            "crypt_method",
            header.crypt_method,
            f"encryption method {int(header.crypt_method):,} is unknown: 0 none, 1 AES, 2 LUKS",
        )


def _extensions(image: Image) -> Iterator[Obstacle]:
    area = image.extensions
    for index, extension in enumerate(area.extensions):
        path = f"ext[{index}]"
        if isinstance(extension, BackingFormat) and len(extension.data) > _MAX_FORMAT:
            yield Obstacle(
                "QCOW-BACK-FMT-LONG",
                "backing_file_offset",
                len(extension.data),
                f"the backing file format name is {len(extension.data):,} bytes long; {_MAX_FORMAT} are possible",
                blocks_reading=False,
                path=f"{path}.length",
            )
        elif isinstance(extension, EncryptionHeader):
            from qcow2inspect.image.guard_luks import encryption_obstacles

            found = encryption_obstacles(image, extension, path)
            yield from _as_far_as_readable(found, "QCOW-CRY-LUKS-BAD", "crypt_method")
        elif isinstance(extension, Bitmaps):
            from qcow2inspect.image.guard_bitmaps import pointer_obstacles

            yield from pointer_obstacles(image, extension, path)
    if area.overrun is not None:
        kind, length = area.overrun.magic, area.overrun.length
        yield Obstacle(
            "QCOW-EXT-OVERRUN",
            "header_length",
            length,
            f"the header extension {kind:#010x} claims {length:,} bytes, its area ends at {area.where.end}",
            blocks_reading=False,
            path="ext.broken",
        )


def _snapshot_table(image: Image) -> Iterator[Obstacle]:
    """What is wrong with the size of the table or of the first entry that cannot be read."""
    count = min(image.header.nb_snapshots, limits.MAX_SNAPSHOTS)
    if not count:
        return
    start, found = int(image.header.snapshots_offset), image.snapshots
    end = int(found[-1].at) + found[-1].size if found else start
    extra = int.from_bytes(image.read(end + 36, 4), "big") if len(found) < count and end < image.end else 0
    if extra > limits.MAX_SNAPSHOT_EXTRA:
        yield Obstacle(
            "QCOW-SNAP-EXTRA-HUGE",
            "nb_snapshots",
            extra,
            f"snapshot table entry {len(found):,} claims {extra:,} bytes of extra data; "
            f"the limit is {limits.MAX_SNAPSHOT_EXTRA:,}",
            blocks_reading=False,
            where=HostRange.at(end + 36, 4),
        )
    if end - start > limits.MAX_SNAPSHOT_TABLE:
        yield Obstacle(
            "QCOW-SNAP-TABLE-HUGE",
            "nb_snapshots",
            image.header.nb_snapshots,
            f"the snapshot table is {end - start:,} bytes long; the limit is {limits.MAX_SNAPSHOT_TABLE:,}",
            blocks_reading=False,
        )


def _length(header: Header) -> Iterator[Obstacle]:
    cluster = 1 << header.cluster_bits
    if header.version >= 3 and header.header_length < HeaderV3.SIZE:
        yield Obstacle(
            "QCOW-HDR-LENGTH-SHORT",
            "header_length",
            header.header_length,
            f"the header says it is {header.header_length} bytes long; version 3 needs {HeaderV3.SIZE}",
        )
    if header.header_length > cluster:
        yield Obstacle(
            "QCOW-HDR-LENGTH-CLUSTER",
            "header_length",
            header.header_length,
            f"the header says it is {header.header_length:,} bytes long; it must fit one cluster of {cluster:,} bytes",
        )
    if header.backing_file_offset > cluster:
        yield Obstacle(
            "QCOW-BACK-OFFSET",
            "backing_file_offset",
            header.backing_file_offset,
            f"the backing file name lies at {header.backing_file_offset}, outside the first cluster",
        )


def _name(header: Header) -> Iterator[Obstacle]:
    cluster = 1 << header.cluster_bits
    if not 0 < header.backing_file_offset <= cluster:
        return
    room = min(limits.MAX_BACKING_NAME, cluster - header.backing_file_offset)
    if header.backing_file_size > room:
        yield Obstacle(
            "QCOW-BACK-LONG",
            "backing_file_size",
            header.backing_file_size,
            f"the backing file name is {header.backing_file_size:,} bytes long; at most {room:,} are possible here",
        )


def _features(header: Header) -> Iterator[Obstacle]:
    features = header.incompatible_features
    kind = header.compression_type
    if not kind.known:
        yield Obstacle(
            "QCOW-HDR-COMPTYPE", "compression_type", kind, f"compression type {int(kind)} is unknown: 0 zlib, 1 zstd"
        )
    elif features.compression_type != (kind != 0):
        state = "set" if features.compression_type else "clear"
        is_stored = header.stored_size > header.row("compression_type").at
        yield Obstacle(
            "QCOW-HDR-COMPBIT",
            "compression_type" if is_stored else "incompatible_features",
            kind if is_stored else features.raw,
            f"compression type is {kind.shown} but the incompatible feature bit for it is {state}",
        )
    if features.unknown:
        yield Obstacle(
            "QCOW-HDR-INCOMPAT-UNKNOWN",
            "incompatible_features",
            features.raw,
            f"incompatible features {features.unknown:#x} are unknown: the tables may mean something else",
        )
    if features.extended_l2 and header.cluster_bits < 14:
        yield Obstacle(
            "QCOW-HDR-SUBCLUSTER",
            "cluster_bits",
            header.cluster_bits,
            f"extended L2 entries need clusters of at least 16 KiB; these have {1 << header.cluster_bits:,} bytes",
        )


def _refcounts_and_snapshots(header: Header) -> Iterator[Obstacle]:
    cluster = 1 << header.cluster_bits
    if header.refcount_order > 6:
        yield Obstacle(
            "QCOW-HDR-REFORDER",
            "refcount_order",
            header.refcount_order,
            f"refcount order is {header.refcount_order:,}; 6 (64 bits) is the largest",
            blocks_reading=False,
        )
    size = header.refcount_table_clusters * cluster
    if not size:
        yield Obstacle(
            "QCOW-HDR-RT-NONE", "refcount_table_clusters", 0, "the image has no refcount table", blocks_reading=False
        )
    if size > limits.MAX_REFCOUNT_TABLE:
        yield Obstacle(
            "QCOW-HDR-RT-LARGE",
            "refcount_table_clusters",
            header.refcount_table_clusters,
            f"the refcount table is {size:,} bytes long; the limit is {limits.MAX_REFCOUNT_TABLE:,}",
            blocks_reading=False,
        )
    at = header.refcount_table_offset
    if _bad_place(at, size, cluster):
        yield Obstacle(
            "QCOW-HDR-RT-OFFSET",
            "refcount_table_offset",
            at,
            f"the refcount table lies at {at}: {_place_trouble(at, cluster)}",
            blocks_reading=False,
        )
    if header.nb_snapshots > limits.MAX_SNAPSHOTS:
        yield Obstacle(
            "QCOW-HDR-SNAP-COUNT",
            "nb_snapshots",
            header.nb_snapshots,
            f"the header counts {header.nb_snapshots:,} snapshots; the limit is {limits.MAX_SNAPSHOTS:,}",
            blocks_reading=False,
        )
    at = header.snapshots_offset
    if _bad_place(at, 0, cluster):
        yield Obstacle(
            "QCOW-HDR-SNAP-OFFSET",
            "snapshots_offset",
            at,
            f"the snapshot table lies at {at}: {_place_trouble(at, cluster)}",
            blocks_reading=False,
        )


def _l1_table(header: Header) -> Iterator[Obstacle]:
    cluster = 1 << header.cluster_bits
    if header.l1_size > limits.MAX_L1_ENTRIES:
        yield Obstacle(
            "QCOW-HDR-L1-LARGE",
            "l1_size",
            header.l1_size,
            f"the L1 table has {header.l1_size:,} entries; the limit is {limits.MAX_L1_ENTRIES:,}",
        )
    at = header.l1_table_offset
    if _bad_place(at, header.l1_size * 8, cluster):
        yield Obstacle(
            "QCOW-HDR-L1-OFFSET", "l1_table_offset", at, f"the L1 table lies at {at}: {_place_trouble(at, cluster)}"
        )
    if header.size > _INT64_MAX:
        yield Obstacle(
            "QCOW-HDR-SIZE-HUGE", "size", header.size, f"the disk size {int(header.size):,} is beyond 2^63 - 1 bytes"
        )
        return
    entry_bits = 4 if header.incompatible_features.extended_l2 else 3
    needed = -(-header.size // (cluster << (header.cluster_bits - entry_bits)))
    if header.l1_size < needed:
        yield Obstacle(
            "QCOW-HDR-L1-SMALL",
            "l1_size",
            header.l1_size,
            f"the L1 table has {header.l1_size:,} entries; a disk of this size needs {needed:,}",
        )


def _bad_place(at: int, size: int, cluster: int) -> bool:
    return at % cluster != 0 or at + size > _INT64_MAX


def _place_trouble(at: int, cluster: int) -> str:
    return f"no multiple of the cluster size {cluster:,}" if at % cluster else "beyond any possible file"
