"""What in a header makes an image unreadable: the conditions that QEMU verifies when it opens one.

QEMU refuses the whole image for each of them. Only some make it impossible to say which guest bytes are where
(``blocks_reading``); the others concern structures that a reader of guest data never looks at. The limits and
their order are those of QEMU's open, so that the first obstacle is also QEMU's first complaint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.format import geometry as limits
from qcow2inspect.format.header import Header, HeaderV3

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Obstacle", "obstacles"]

_INT64_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One condition that a header must meet and does not.

    Attributes:
        code: code of the finding that reports it.
        field: name of the header field.
        value: what the field holds.
        what: what is wrong, with the value and the limit.
        blocks_reading: True if guest data cannot be read because of it.
    """

    code: str
    field: str
    value: int
    what: str
    blocks_reading: bool = True


def obstacles(header: Header) -> Iterator[Obstacle]:
    """All obstacles of a header whose cluster size is valid, in QEMU's order."""
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
    yield from _name(header)


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
        yield Obstacle(
            "QCOW-HDR-COMPBIT",
            "compression_type",
            kind,
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
