"""Header fields out of what surrounds them: the tables, the streams, each other.

Only one field is wrong more often than not, so each is judged by the rest; a header that is lost altogether is made
anew from what QEMU always does and from what the tables hold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qcow2inspect.codec import codec_for
from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.format.geometry import CLUSTER_BITS, MAX_BACKING_NAME, MAX_L1_ENTRIES, SECTOR, Geometry
from qcow2inspect.format.header import MAGIC, CompressionType, CryptMethod, Header
from qcow2inspect.format.luks import LUKS_MAGIC
from qcow2inspect.format.mapping import L1Entry, L2Entry, compressed_descriptor
from qcow2inspect.recover.tables import find_geometry
from qcow2inspect.source.protocol import read_padded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.progress import Progress
    from qcow2inspect.recover.draft import Draft

__all__ = ["mend_header", "mend_l1_size", "mend_size"]

_KNOWN_FEATURES = 0x1F
_EXTENSIONS = (0, 0xE2792ACA, 0x6803F857, 0x23852875, 0x0537BE77, 0x44415441)
_LENGTHS = (112, 104)
_EXTENDED, _COMPRESSION, _DATA_FILE = 1 << 4, 1 << 3, 1 << 2
_L2_OFFSET = L2Entry.host_cluster_offset.mask
_L1_OFFSET = L1Entry.l2_table_offset.mask
_TABLES = 16
_STREAMS = 4
_CLUSTERS = 16
_QEMU = "where QEMU always puts it"


def mend_header(draft: Draft, progress: Progress) -> bool:
    """Assume what the header needs; False if nothing in the file looks like an image of version 2 or 3.

    Raises:
        CannotRead: the file cannot be read.
        Cancelled: the user asked to stop.
    """
    draft.set("magic", MAGIC, "every image starts so")
    _mend_version(draft)
    if draft.header.version == 1:
        return False
    if not _mend_geometry(draft, progress):
        return False
    _mend_length(draft)
    _mend_compression(draft)
    _mend_encryption(draft)
    _mend_backing(draft)
    return True


# -- version and length -----------------------------------------------------------------------------------------------


def _mend_version(draft: Draft) -> None:
    head = read_padded(draft.source, 0, Header.SIZE)

    def number(at: int, size: int) -> int:
        return int.from_bytes(head[at : at + size], "big")

    version, is_sound = draft.header.version, number(100, 4) in _LENGTHS and number(96, 4) <= 6
    extends_at_72 = number(72, 4) in _EXTENSIONS[1:]
    if version == 1 and 9 <= head[32] <= 16 and 6 <= head[33] <= 13:
        return
    if version == 3 and not (extends_at_72 and not is_sound):
        return
    if version == 2 and not (is_sound and number(72, 8) <= _KNOWN_FEATURES):
        return
    ends_at_72 = number(20, 4) in CLUSTER_BITS and not any(head[72:104])
    old = extends_at_72 or ends_at_72
    draft.set("version", 2 if old and not is_sound else 3, "the fields of the header are those of this version")


def _mend_length(draft: Draft) -> None:
    header = draft.header
    if header.version < 3 or (header.header_length in _LENGTHS):
        return
    head = read_padded(draft.source, 0, 120)
    if 104 <= header.header_length <= draft.geometry.cluster_size and not header.header_length % 8:
        found = read_padded(draft.source, header.header_length, 4)
        if int.from_bytes(found, "big") in _EXTENSIONS:
            return
    for length in _LENGTHS:
        if int.from_bytes(head[length : length + 4], "big") in _EXTENSIONS:
            draft.set("header_length", length, "a header extension starts there")
            return
    draft.set("header_length", _LENGTHS[0], "the usual length")


# -- sizes of clusters, the place of the L1 table ----------------------------------------------------------------------


def _mend_geometry(draft: Draft, progress: Progress) -> bool:
    """Find cluster size, kind of L2 entries and L1 table that fit each other best."""
    header, stored = draft.header, draft.geometry
    is_possible = header.cluster_bits in CLUSTER_BITS
    at = int(header.l1_table_offset)
    chosen = _best_fit(draft)
    if chosen is not None:
        _set_geometry(draft, *chosen, "the tables that are found so fit each other")
        return True
    if is_possible and at == 3 * stored.cluster_size and _has_no_tables(draft, stored):
        return True
    if is_possible and draft.refcounts_fit(stored) and not at % stored.cluster_size and 0 < at < draft.source.size:
        _set_geometry(draft, stored, at, "the refcounts fit the size of the file so")
        return True  # the L1 table alone is damaged
    found = find_geometry(draft.source, progress)
    if found is None:
        return is_possible and not draft.assumed
    if at % found.cluster_size or not 0 < at < draft.source.size:
        at = 3 * found.cluster_size
    _set_geometry(draft, found, at, "what looks like L2 tables is built so")
    return True


def _best_fit(draft: Draft) -> tuple[Geometry, int] | None:
    """The sizes, and the place of the L1 table, under which most entries of its L2 tables make sense.

    Where several do as well, the refcounts decide, then what the header says, then the larger clusters.
    """
    header, stored = draft.header, draft.geometry
    if draft.refcounts_fit(stored) and header.cluster_bits == stored.cluster_bits:
        kept = [stored, replace(stored, extended_l2=not stored.extended_l2)][: 1 + (stored.cluster_bits >= 14)]
        at, count = int(header.l1_table_offset), _l1_count(draft, stored)
        (good, bad), likely = max(((draft.l1_score(at, count, one), one) for one in kept), key=lambda found: found[0])
        if good > bad and not at % stored.cluster_size:
            return likely, at
    best: tuple[int, ...] = (0,)
    chosen: tuple[Geometry, int] | None = None
    for bits in CLUSTER_BITS:
        for extended in (False, True)[: 1 + (bits >= 14)]:
            geometry = Geometry(bits, stored.refcount_order, extended)
            for at in {int(header.l1_table_offset), 3 << bits}:
                if at % geometry.cluster_size:
                    continue
                good, bad = draft.l1_score(at, _l1_count(draft, geometry), geometry)
                same = geometry == stored and at == header.l1_table_offset
                key = (good, draft.refcounts_fit(geometry), same, -bad, bits)
                if good and bad <= same and key > best:
                    best, chosen = key, (geometry, at)
    return chosen


def _has_no_tables(draft: Draft, geometry: Geometry) -> bool:
    """True for an L1 table without a used entry."""
    return not draft.used(3 * geometry.cluster_size, _l1_count(draft, geometry), 1)


def _set_geometry(draft: Draft, geometry: Geometry, at: int, why: str) -> None:
    draft.set("cluster_bits", geometry.cluster_bits, why)
    draft.set("l1_table_offset", at, f"{why}; {_QEMU}" if at == 3 * geometry.cluster_size else why)
    if draft.header.version < 3:
        return
    features = int(draft.header.incompatible_features.raw) & _KNOWN_FEATURES & ~_EXTENDED
    if features & _DATA_FILE and not _names_data_file(draft):
        features &= ~_DATA_FILE
    draft.set(
        "incompatible_features",
        features | (_EXTENDED if geometry.extended_l2 else 0),
        "the tables and extensions use no others",
    )


def _names_data_file(draft: Draft) -> bool:
    return b"DATA" in read_padded(draft.source, 72, draft.geometry.cluster_size - 72)


def _l1_count(draft: Draft, geometry: Geometry) -> int:
    """Entries of the L1 table, as far as size or number in the header can be true."""
    header = draft.header
    needed = geometry.l1_entries(header.size)
    possible = [number for number in (header.l1_size, needed) if 0 < number <= MAX_L1_ENTRIES]
    return min(possible) if possible else geometry.cluster_size // 8


# -- size of the disk --------------------------------------------------------------------------------------------------


def mend_size(draft: Draft, last: int) -> None:
    """Make the size of the disk and the number of L1 entries agree with each other and with the tables.

    Args:
        draft: the header so far.
        last: one past the last guest byte that a table maps.
    """
    header, geometry = draft.header, draft.geometry
    needed = geometry.l1_entries(header.size)
    is_possible = header.size >= last and 0 < needed <= MAX_L1_ENTRIES and header.size < 1 << 63
    if is_possible and needed <= header.l1_size <= MAX_L1_ENTRIES:
        return
    if is_possible and _is_l1(draft, needed):
        draft.set("l1_size", needed, "a disk of this size needs so many")
    elif last:
        draft.set("size", -(-last // SECTOR) * SECTOR, "the last byte that a table maps; the disk may have been larger")


def mend_l1_size(draft: Draft) -> None:
    """An L1 table without entries, or with more than QEMU allows, has as many as look like some."""
    header, geometry = draft.header, draft.geometry
    if 0 < header.l1_size <= MAX_L1_ENTRIES or _is_possible(draft):
        return
    words = draft.words(int(header.l1_table_offset), geometry.cluster_size // 8)
    used = 0
    for index, raw in enumerate(words.tolist()):
        if raw and (not geometry.is_aligned(raw & _L1_OFFSET) or (raw & _L1_OFFSET) >= draft.source.size):
            break
        used = index + 1 if raw else used
    draft.set("l1_size", max(used, 1), "so many entries are used")


def _is_possible(draft: Draft) -> bool:
    """True if the size of the disk may be right: as many words as it needs can be L1 entries."""
    needed = draft.geometry.l1_entries(draft.header.size)
    if 0 < needed <= MAX_L1_ENTRIES and _is_l1(draft, needed):
        draft.set("l1_size", needed, "a disk of this size needs so many")
        return True
    return False


def _is_l1(draft: Draft, count: int) -> bool:
    """True if ``count`` words where the L1 table lies can all be L1 entries."""
    import numpy as np

    return all(
        bool((draft.leads_somewhere(part) == (part & np.uint64(_L1_OFFSET) != 0)).all())
        for part in draft.blocks(int(draft.header.l1_table_offset), count)
    )


# -- content -----------------------------------------------------------------------------------------------------------


def _entries(draft: Draft) -> Iterator[int]:
    """Some used L2 entries."""
    count = _l1_count(draft, draft.geometry)
    stride = 2 if draft.geometry.extended_l2 else 1
    for raw in draft.used(int(draft.header.l1_table_offset), count, _TABLES):
        table = draft.words(raw & _L1_OFFSET, draft.geometry.cluster_size // 8)[::stride]
        yield from table[table != 0].tolist()


def _mend_compression(draft: Draft) -> None:
    """Type and feature bit are what the streams say."""
    header = draft.header
    if header.version < 3:
        return
    counts = dict.fromkeys(CompressionType, 0)
    tried = 0
    for raw in _entries(draft):
        if not raw & L2Entry.compressed.mask or tried >= _STREAMS:
            continue
        tried += 1
        run = compressed_descriptor(draft.geometry.cluster_bits)(raw).run()
        for kind in counts:
            try:
                codec_for(kind).decompress(read_padded(draft.source, run.start, run.size), draft.geometry.cluster_size)
            except Qcow2InspectError:
                continue
            counts[kind] += 1
    best = max(counts, key=lambda kind: counts[kind])
    value = int(best) if counts[best] else int(header.compression_type)
    value = value if value in (0, 1) else 0
    why = "the streams inflate so" if counts[best] else "no stream says otherwise"
    if header.stored_size > 104:
        draft.set("compression_type", value, why)
    elif value:
        draft.set("header_length", _LENGTHS[0], "the compression type is stored there")
        draft.set("compression_type", value, why)
    features = int(draft.header.incompatible_features.raw)
    draft.set("incompatible_features", features & ~_COMPRESSION | (_COMPRESSION if value else 0), why)


def _mend_encryption(draft: Draft) -> None:
    """A key is needed only where the clusters look as if."""
    method = draft.header.crypt_method
    area = read_padded(draft.source, 72, draft.geometry.cluster_size)
    has_luks = b"\x05\x37\xbe\x77\0\0\0\x10" in area and _has_luks(draft, area)
    if has_luks:
        draft.set("crypt_method", CryptMethod.LUKS, "the image has a LUKS header")
    elif method == CryptMethod.LUKS or method > CryptMethod.LUKS or (method == CryptMethod.AES and _is_clear(draft)):
        draft.set("crypt_method", CryptMethod.NONE, "there is no LUKS header, and guest data is not encrypted")


def _has_luks(draft: Draft, area: bytes) -> bool:
    at = area.index(b"\x05\x37\xbe\x77\0\0\0\x10") + 8
    where = int.from_bytes(area[at : at + 8], "big")
    return where < draft.source.size and read_padded(draft.source, where, 6) == LUKS_MAGIC


def _is_clear(draft: Draft) -> bool:
    """True if clusters that are stored as they are hold something that ciphers never make."""
    import zlib

    looked = 0
    for raw in _entries(draft):
        at = raw & _L2_OFFSET
        if raw & L2Entry.compressed.mask or not at or looked >= _CLUSTERS:
            continue
        looked += 1
        data = read_padded(draft.source, at, draft.geometry.cluster_size)
        if any(data) and len(zlib.compress(data, 1)) < len(data) * 15 // 16:
            return True
    return False


def _mend_backing(draft: Draft) -> None:
    """A name that cannot be one is none."""
    header, cluster = draft.header, draft.geometry.cluster_size
    at = int(header.backing_file_offset)
    if not at:
        return
    room = min(MAX_BACKING_NAME, cluster - at)
    if room <= 0 or at < 72:
        draft.set("backing_file_offset", 0, "no name can lie there")
        return
    if header.backing_file_size > room:
        name = read_padded(draft.source, at, room).split(b"\0")[0]
        draft.set("backing_file_size", len(name), "the text there is so long")
