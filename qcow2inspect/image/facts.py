"""What the header alone says about an image, in words. Nothing here reads a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.layout.structure import printable
from qcow2inspect.units import counted, exact_size, human_size

if TYPE_CHECKING:
    from qcow2inspect.format.snapshot import Snapshot
    from qcow2inspect.image.image import Image
    from qcow2inspect.image.v1 import V1Image

__all__ = [
    "backing_words",
    "data_file_words",
    "encryption_words",
    "header_facts",
    "number_words",
    "snapshot_facts",
    "v1_facts",
]


def header_facts(image: Image) -> list[tuple[str, str]]:
    """Label and value of what the header alone says."""
    header, geometry = image.header, image.geometry
    assumed = [("ASSUMED", image.assumed.shown)] if image.assumed else []
    compat = "compat 0.10" if header.version == 2 else "compat 1.1"
    return [
        *assumed,
        ("format", f"qcow2 version {header.version} ({compat})"),
        ("virtual size", exact_size(header.size // SECTOR * SECTOR)),
        ("file size", f"{exact_size(image.source.size)}, {human_size(image.source.allocated)} stored"),
        ("cluster size", exact_size(geometry.cluster_size)),
        ("L1 table", f"{counted(header.l1_size, 'entry', 'entries')} at {header.l1_table_offset}"),
        ("refcounts", f"{geometry.refcount_bits}-bit, table at {header.refcount_table_offset}"),
        ("features", _features(image)),
        ("compression type", header.compression_type.name.lower()),
        ("encryption", encryption_words(image)),
        ("backing file", backing_words(image)),
        ("data file", data_file_words(image)),
        ("snapshots", number_words(header.nb_snapshots)),
        ("bitmaps", number_words(len(image.bitmaps))),
    ]


def snapshot_facts(image: Image, snapshot: Snapshot) -> list[tuple[str, str]]:
    """Label and value of what the snapshot table says about a snapshot."""
    from qcow2inspect.format.header import utc

    entry = snapshot.entry
    size = snapshot.disk_size
    taken = utc(entry.date_sec)
    clock = f"{entry.vm_clock_nsec // 10**9:,}.{entry.vm_clock_nsec % 10**9:09} s"
    own = (
        exact_size(size)
        if size is not None
        else f"not stated, that of the active state: {exact_size(image.header.size)}"
    )
    return [
        ("snapshot", snapshot.title),
        ("taken", f"{taken} + {entry.date_nsec:,} ns" if entry.date_nsec else taken),
        ("virtual size", own),
        ("L1 table", f"{counted(entry.l1_size, 'entry', 'entries')} at {entry.l1_table_offset}"),
        ("VM state", exact_size(snapshot.vm_state_size) if snapshot.vm_state_size else "none, only the disk was saved"),
        ("VM clock", clock),
        ("table entry", f"at {snapshot.at}, {snapshot.size:,} bytes"),
    ]


def v1_facts(image: V1Image) -> list[tuple[str, str]]:
    """Label and value of what the header of a version 1 image says."""
    header = image.header
    name = printable(image.backing_name)
    return [
        ("format", "qcow version 1"),
        ("virtual size", exact_size(header.size // SECTOR * SECTOR)),
        ("file size", f"{exact_size(image.source.size)}, {human_size(image.source.allocated)} stored"),
        ("cluster size", exact_size(image.cluster_size)),
        ("L1 table", f"{counted(len(image.l1), 'entry', 'entries')} at {header.l1_table_offset}"),
        ("L2 tables", f"of {counted(image.l2_entries, 'entry', 'entries')}"),
        ("encryption", "AES (legacy)" if image.is_encrypted else "none"),
        ("backing file", f"“{name}”, not opened" if name else "none"),
        ("refcounts", "none: version 1 has no refcounts, snapshots or bitmaps"),
    ]


def number_words(number: int) -> str:
    """A number, or the word for zero."""
    return f"{number:,}" if number else "none"


def _features(image: Image) -> str:
    header = image.header
    names = [
        bits.name.replace("_", " ")
        for word in (header.incompatible_features, header.compatible_features, header.autoclear_features)
        for bits in word.FIELDS
        if word.raw & bits.mask
    ]
    return ", ".join(names) or "none set"


def encryption_words(image: Image) -> str:
    """How guest data is encrypted."""
    method = image.header.crypt_method
    if method is CryptMethod.LUKS and image.luks is not None:
        fields = image.luks.fields
        cipher = printable(fields.cipher_name.rstrip(b"\0") + b"-" + fields.cipher_mode.rstrip(b"\0"))
        return f"LUKS, {cipher}, {fields.key_bytes * 8}-bit key"
    return {CryptMethod.NONE: "none", CryptMethod.AES: "AES (legacy)", CryptMethod.LUKS: "LUKS"}.get(
        method, f"unknown method {int(method)}"
    )


def backing_words(image: Image) -> str:
    """The backing file, if any."""
    if not image.header.backing_file_offset:
        return "none"
    kind = printable(image.backing_format) or "format not stated"
    return f"“{printable(image.backing_name)}” ({kind}), not opened"


def data_file_words(image: Image) -> str:
    """The external data file, if any."""
    if not image.has_data_file:
        return "none"
    return f"“{printable(image.data_file_name)}”, not opened" if image.data_file_name else "not named, not opened"
