"""The JSON that ``qemu-img info`` and ``qemu-img map`` of QEMU 7.2 print, field by field.

Scripts that read qemu-img's output can read this one; the names, the omissions and the small oddities are QEMU's.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from qcow2inspect.format.extensions.data_file import DataFile
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.luks import SlotState
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.image import Image
from qcow2inspect.layout import packed
from qcow2inspect.units import HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qcow2inspect.format.bitmap import Bitmap
    from qcow2inspect.format.luks import LuksHeader
    from qcow2inspect.format.snapshot import Snapshot
    from qcow2inspect.image.chain import AnyImage
    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.source.protocol import Source

__all__ = ["info_document", "json_text", "map_entries", "map_lines"]


_SEQUENCES = re.compile(
    rb"[\xc0-\xdf][\x80-\xbf]?|[\xe0-\xef][\x80-\xbf]{0,2}|[\xf0-\xf7][\x80-\xbf]{0,3}"
    rb"|[\xf8-\xfb][\x80-\xbf]{0,4}|[\xfc\xfd][\x80-\xbf]{0,5}|.",
    re.DOTALL,
)
"""A character in UTF-8, whole or cut off, or a byte that begins none."""


def info_document(image: AnyImage) -> dict[str, Any]:
    """What ``qemu-img info --output=json`` prints for an image."""
    header = image.header
    document: dict[str, Any] = {
        "virtual-size": header.size // SECTOR * SECTOR,
        "filename": json_text(os.fsencode(image.name)),
        "cluster-size": 1 << header.cluster_bits,
        "format": "qcow2" if isinstance(image, Image) else "qcow",
        "actual-size": image.source.allocated,
        "dirty-flag": False,
    }
    if isinstance(image, Image):
        document["format-specific"] = {"type": "qcow2", "data": _specific(image)}
        document["dirty-flag"] = image.header.incompatible_features.dirty
        if image.header.nb_snapshots and not image.has_data_file:  # QEMU has no snapshots beside a data file
            document["snapshots"] = [_snapshot(snapshot) for snapshot in image.snapshots]
    if header.crypt_method is not CryptMethod.NONE:
        document["encrypted"] = True
    name = image.backing_name.split(b"\0")[0]
    if name:
        document["backing-filename"] = json_text(name)
        document["full-backing-filename"] = json_text(_beside(os.fsencode(image.name), name))
        if _c_string(image.backing_format):
            document["backing-filename-format"] = _c_string(image.backing_format)
    return document


def _c_string(data: bytes) -> str:
    """Text as QEMU sees it: up to the first NUL."""
    return json_text(data.split(b"\0")[0])


def json_text(data: bytes) -> str:
    """Bytes as QEMU puts them into JSON: what is no UTF-8 becomes U+FFFD, sequence by sequence."""
    return "".join(map(_character, _SEQUENCES.findall(data)))


def _character(sequence: bytes) -> str:
    try:
        text = sequence.decode()
    except UnicodeDecodeError:
        return "\0" if sequence == b"\xc0\x80" else "\ufffd"
    is_none = "\ufdd0" <= text <= "\ufdef" or ord(text) & 0xFFFE == 0xFFFE
    return "\ufffd" if is_none else text


def _beside(image: bytes, name: bytes) -> bytes:
    """A file name as QEMU resolves it: relative to the folder of the image unless it is absolute or has a protocol."""
    if name.startswith(b"/") or re.match(rb"[^/:]*:", name):
        return name
    return image[: image.rfind(b"/") + 1] + name


def _specific(image: Image) -> dict[str, Any]:
    header = image.header
    data: dict[str, Any] = {
        "compat": "0.10" if header.version == 2 else "1.1",
        "compression-type": header.compression_type.name.lower(),
        "refcount-bits": image.geometry.refcount_bits,
    }
    if header.version >= 3:
        features = header.incompatible_features
        data["lazy-refcounts"] = header.compatible_features.lazy_refcounts
        data["corrupt"] = features.corrupt
        data["extended-l2"] = features.extended_l2
        if image.extension(DataFile):
            data["data-file"] = _c_string(image.data_file_name)
        if features.data_file:
            data["data-file-raw"] = header.autoclear_features.raw_data_file
        if image.bitmaps and header.autoclear_features.bitmaps:
            data["bitmaps"] = [_bitmap(bitmap) for bitmap in image.bitmaps]
    if header.crypt_method is CryptMethod.AES:
        data["encrypt"] = {"format": "aes"}
    elif image.luks is not None and header.crypt_method is CryptMethod.LUKS:
        data["encrypt"] = _luks(image.luks)
    return data


def _snapshot(snapshot: Snapshot) -> dict[str, Any]:
    entry = snapshot.entry
    document = {
        "id": _c_string(snapshot.id),
        "name": _c_string(snapshot.name),
        "vm-state-size": snapshot.vm_state_size,
        "date-sec": entry.date_sec,
        "date-nsec": entry.date_nsec,
        "vm-clock-sec": entry.vm_clock_nsec // 1_000_000_000,
        "vm-clock-nsec": entry.vm_clock_nsec % 1_000_000_000,
    }
    if snapshot.icount is not None:
        document["icount"] = snapshot.icount
    return document


def _bitmap(bitmap: Bitmap) -> dict[str, Any]:
    flags = bitmap.entry.flags
    return {
        "name": _c_string(bitmap.name),
        "granularity": 1 << bitmap.entry.granularity_bits,
        "flags": [name for name, on in (("in-use", flags.in_use), ("auto", flags.auto)) if on],
    }


def _luks(luks: LuksHeader) -> dict[str, Any]:
    fields = luks.fields
    cipher = _c_string(fields.cipher_name)
    mode, _, generator = _c_string(fields.cipher_mode).partition("-")
    generator, _, generator_hash = generator.partition(":")
    key_bits = fields.key_bytes * 8 // (2 if mode == "xts" else 1)
    document = {
        "format": "luks",
        "cipher-alg": f"{cipher}-{key_bits}",
        "cipher-mode": mode,
        "ivgen-alg": generator,
        "hash-alg": _c_string(fields.hash_spec),
        "payload-offset": fields.payload_offset * SECTOR,
        "master-key-iters": fields.mk_digest_iterations,
        "uuid": _c_string(fields.uuid),
        "slots": [_slot(slot) for slot in luks.slots],
    }
    if generator_hash:
        document["ivgen-hash-alg"] = generator_hash
    return document


def _slot(slot: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "active": slot.active is SlotState.ENABLED,
        "key-offset": slot.key_material_offset * SECTOR,
    }
    if document["active"]:
        document |= {"iters": slot.iterations, "stripes": slot.stripes}
    return document


def map_entries(disk: View, images: Sequence[AnyImage | None]) -> Iterator[dict[str, Any]]:
    """What ``qemu-img map --output=json`` prints for a disk, entry by entry.

    Args:
        disk: the disk.
        images: the image of every layer of its chain; None for a raw file.

    Raises:
        CannotRead, Damaged, NeedsFile: QEMU would fail here; the error says why.
    """
    look_through = [isinstance(image, Image) and _is_preallocated(image) for image in images]
    last: dict[str, Any] | None = None
    for extent in disk.extents():
        for entry in _entries(disk, images[extent.layer], extent, look_through=look_through[extent.layer]):
            if last is not None and _goes_on(last, entry):
                last["length"] += entry["length"]
                continue
            if last is not None:
                yield last
            last = entry
    yield last if last is not None else _NO_DISK


_NO_DISK = {"start": 0, "length": 0, "depth": 0, "present": False, "zero": False, "data": False}
"""What QEMU prints for a disk without bytes."""


def map_lines(entries: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The text of a map: a JSON array with one entry a line, ready to be written out as it is made."""
    lead = "["
    for entry in entries:
        yield lead + json.dumps(entry)
        lead = ",\n"
    yield "]\n"


def _entry(image: AnyImage | None, extent: Extent) -> dict[str, Any]:
    if extent.error is not None and not _visible_without_data(extent):
        raise extent.error
    kind = extent.kind
    has_data = kind in (ClusterType.NORMAL, ClusterType.COMPRESSED)
    is_zero = not has_data
    absent = kind in (ClusterType.UNALLOCATED, ClusterType.UNALLOCATED_ALLOC)
    entry = {
        "start": int(extent.guest.start),
        "length": extent.guest.size,
        "depth": extent.layer,
        "present": not absent,
        "zero": is_zero,
        "data": has_data,
    }
    encrypted = image is not None and image.header.crypt_method is not CryptMethod.NONE
    if extent.host is not None and kind is not ClusterType.COMPRESSED and not encrypted:
        entry["offset"] = int(extent.host.start)
    return entry


def _visible_without_data(extent: Extent) -> bool:
    """True if QEMU's map needs no key to say what the extent is."""
    return extent.kind is ClusterType.NORMAL and extent.error is not None and extent.error.exit_code == 77


def _goes_on(last: dict[str, Any], entry: dict[str, Any]) -> bool:
    if any(last[name] != entry[name] for name in ("depth", "present", "zero", "data")):
        return False
    if ("offset" in last) != ("offset" in entry):
        return False
    return "offset" not in entry or last["offset"] + last["length"] == entry["offset"]


def _entries(disk: View, image: AnyImage | None, extent: Extent, *, look_through: bool) -> Iterator[dict[str, Any]]:
    """The entry of an extent; where QEMU suspects preallocation it looks through to the holes of the host file."""
    entry = _entry(image, extent)
    source, host = disk.plain_source(extent) if look_through and entry["data"] else None, extent.host
    if source is None or host is None or "offset" not in entry:
        yield entry
        return
    for part, is_hole in _stored_and_holes(source, host):
        start = entry["start"] + (part.start - host.start)
        yield entry | {"start": start, "length": part.size, "offset": int(part.start), "zero": is_hole}


def _stored_and_holes(source: Source, within: HostRange) -> Iterator[tuple[HostRange, bool]]:
    at = within.start
    for part in source.data_ranges(within):
        if part.start > at:
            yield HostRange(at, part.start), True
        yield part, False
        at = part.end
    if at < within.end:
        yield HostRange(HostOffset(at), within.end), True


def _is_preallocated(image: Image) -> bool:
    """QEMU's guess: clearly more clusters have a refcount than the file system stores."""
    geometry = image.geometry
    stored = image.source.allocated // geometry.cluster_size
    threshold = max(stored * 10 // 9, stored + 2)
    clusters = geometry.host_clusters(image.source.size)
    used = 0
    for index in range(min(len(image.refcount_table), -(-clusters // geometry.refcount_block_entries))):
        at = image.refcount_table[index].refcount_block_offset
        if not at:
            continue
        counts = packed.unpack(image.read(at, geometry.cluster_size), geometry.refcount_bits)
        left = clusters - index * geometry.refcount_block_entries
        used += int((counts[:left] != 0).sum())
        if used >= threshold:
            return True
    return False
