"""What the metadata of an image claims, and for which reason QEMU would not even begin to check it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.format.bitmap import BitmapTableEntry
from qcow2inspect.format.extensions.bitmaps import Bitmaps
from qcow2inspect.format.extensions.encryption import EncryptionHeader
from qcow2inspect.format.geometry import MAX_SNAPSHOT_EXTRA, MAX_SNAPSHOT_TABLE, SECTOR
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.refcount import RefcountTableEntry
from qcow2inspect.format.snapshot import SnapshotEntry
from qcow2inspect.image.table import Table
from qcow2inspect.survey.claims import ANY_FILE, Claims, Owner
from qcow2inspect.units import HostOffset

if TYPE_CHECKING:
    from qcow2inspect.format.bitmap import Bitmap
    from qcow2inspect.image.image import Image
    from qcow2inspect.survey.account import Account
    from qcow2inspect.survey.refcounts import StoredRefcounts
    from qcow2inspect.survey.tables import L1Column, Tables

__all__ = ["SnapshotTable", "bitmap_table", "claim_metadata", "open_refusal", "read_snapshot_table"]

_CHECKED_LATER = {"QCOW-HDR-RT-NONE", "QCOW-HDR-SNAP-COUNT", "QCOW-HDR-SNAP-OFFSET"}
_MAX_BITMAP_TABLE = 512 << 20
MAX_BITMAP_ENTRIES = 1 << 17
"""Bitmap table entries that are counted; an image with more of them is no honest one."""
_COMPLETE = 16


def open_refusal(image: Image) -> str:
    """Why ``qemu-img check`` cannot open the image, as far as the image itself is the reason; empty if it can.

    A missing backing file, data file or key stops QEMU too, but says nothing about the image.
    """
    for obstacle in image.obstacles:
        if obstacle.code not in _CHECKED_LATER:
            return obstacle.what
    if image.extensions.overrun is not None:
        return "a header extension runs past its area"
    if image.has_data_file and not image.data_file_name:
        return "the external data file has no name"
    return ""


def claim_metadata(
    image: Image, columns: list[L1Column], tables: Tables, refcounts: StoredRefcounts, account: Account
) -> Claims:
    """The claims of all structures; those that only QEMU's check sees go to ``account.phantom``."""
    end = -(-image.end // SECTOR) * SECTOR
    claims = Claims(image.geometry.cluster_bits, end)
    claims.claim(Owner.HEADER, 0, image.geometry.cluster_size)
    for column in columns:
        owner = Owner.L1_SNAPSHOT if column.number else Owner.L1
        l1 = column.mapping.l1
        claims.claim(owner, l1.at, len(l1) * 8, column.number, weight=column.times)
    _claim_tables(claims, tables, account)
    table = image.refcount_table
    claims.claim(Owner.REFCOUNT_TABLE, table.at, len(table) * 8)
    _claim_luks(image, claims)
    claims.claim(Owner.SNAPSHOT_TABLE, image.header.snapshots_offset, read_snapshot_table(image).size)
    _claim_bitmaps(image, claims)
    _claim_blocks(claims, refcounts)
    return claims


def _claim_tables(claims: Claims, tables: Tables, account: Account) -> None:
    import numpy as np

    size = tables.cluster_size
    sizes = np.full(len(tables), size, dtype=np.int64)
    phantom = tables.is_phantom
    index = np.arange(len(tables))
    for owner, weight in ((Owner.L2, tables.active), (Owner.L2_SNAPSHOT, tables.snapshot)):
        some = (weight > 0) & ~phantom
        claims.claim_all(owner, tables.offsets[some], sizes[some], weight[some], index[some])
    past = phantom & (tables.offsets >= claims.end)
    claims.phantom_beyond = int(tables.weight[past].sum())
    seen = phantom & ~past
    start = tables.offsets[seen] // size
    account.phantom.add(start, 1 + (tables.offsets[seen] % size != 0), tables.weight[seen])


def _claim_luks(image: Image, claims: Claims) -> None:
    extension = image.extension(EncryptionHeader)
    pointer = extension.pointer if extension else None
    if pointer is not None and image.header.crypt_method is CryptMethod.LUKS:
        claims.claim(Owner.LUKS, pointer.offset, pointer.length)


def _claim_blocks(claims: Claims, refcounts: StoredRefcounts) -> None:
    """Blocks that are where a block can be, one claim for each entry of the refcount table."""
    import numpy as np

    size = refcounts.cluster_size
    last = -(-claims.end // size)
    usable = (refcounts.offsets > 0) & (refcounts.offsets % size == 0) & (refcounts.offsets // size < last)
    usable &= (refcounts.table & np.uint64(RefcountTableEntry.reserved_low.mask)) == 0
    index = np.flatnonzero(usable)
    ones = np.ones(len(index), dtype=np.int64)
    claims.claim_all(Owner.REFCOUNT_BLOCK, refcounts.offsets[index], ones * size, ones, index)


# -- snapshot table ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SnapshotTable:
    """What QEMU's check makes of the snapshot table.

    Attributes:
        failed: why it cannot be read; empty if it can.
        size: bytes of the table.
        incomplete: entries with less extra data than version 3 wants.
        l1: offset and size of the snapshots' L1 tables.
    """

    failed: str
    size: int
    incomplete: int
    l1: list[tuple[int, int]]


def read_snapshot_table(image: Image) -> SnapshotTable:
    """Read the snapshot table as QEMU's check does: past the end of the file it is zero."""
    codes = {obstacle.code: obstacle.what for obstacle in image.obstacles}
    for code in ("QCOW-HDR-SNAP-COUNT", "QCOW-HDR-SNAP-OFFSET"):
        if code in codes:
            return SnapshotTable(codes[code], 0, 0, [])
    start = at = int(image.header.snapshots_offset)
    incomplete, l1 = 0, []
    for snapshot in image.snapshots:
        at = snapshot.at + snapshot.size
        incomplete += snapshot.extra_size < _COMPLETE
        l1.append((int(snapshot.entry.l1_table_offset), snapshot.entry.l1_size))
    for number in range(len(l1), image.header.nb_snapshots):
        if at >= image.end:
            rest = image.header.nb_snapshots - number
            at, incomplete = at + rest * SnapshotEntry.SIZE, incomplete + rest
            break
        entry = SnapshotEntry.parse(image.read(at, SnapshotEntry.SIZE))
        if entry.extra_data_size > MAX_SNAPSHOT_EXTRA:
            return SnapshotTable(f"snapshot table entry {number} has too much extra data", 0, 0, [])
        incomplete += entry.extra_data_size < _COMPLETE
        l1.append((int(entry.l1_table_offset), entry.l1_size))
        at += -(-(SnapshotEntry.SIZE + entry.extra_data_size + entry.id_size + entry.name_size) // 8) * 8
    if at - start > MAX_SNAPSHOT_TABLE:
        return SnapshotTable("the snapshot table is too big", 0, 0, [])
    return SnapshotTable("", at - start, incomplete if image.header.version >= 3 else 0, l1)


# -- bitmaps ----------------------------------------------------------------------------------------------------


def _claim_bitmaps(image: Image, claims: Claims) -> None:
    """The bitmap directory, tables and data; QEMU knows of them only if the autoclear bit is set.

    A table that many bitmaps share is looked at once; the data of more than :data:`MAX_BITMAP_ENTRIES` is not counted
    and shows as leaked.
    """
    import numpy as np

    extension = image.extension(Bitmaps)
    pointer = extension.pointer if extension else None
    if pointer is None or not image.header.autoclear_features.bitmaps or not image.bitmaps:
        return
    claims.claim(Owner.BITMAP_DIRECTORY, pointer.bitmap_directory_offset, pointer.bitmap_directory_size)
    tables: dict[tuple[HostOffset, int], tuple[int, int]] = {}
    for number, bitmap in enumerate(image.bitmaps):
        entry = bitmap.entry
        place = entry.bitmap_table_offset, entry.bitmap_table_size
        first, times = tables.get(place, (number, 0))
        tables[place] = first, times + 1
    rows = [(min(at, ANY_FILE), 8 * stated, times, number) for (at, stated), (number, times) in tables.items()]
    claims.claim_all(Owner.BITMAP_TABLE, *np.array([row for row in rows if row[1]], dtype=np.int64).reshape(-1, 4).T)
    left = MAX_BITMAP_ENTRIES
    for number, times in tables.values():
        table = bitmap_table(image, image.bitmaps[number])
        left -= len(table)
        if left >= 0:
            _claim_bitmap_data(image, claims, table, number, times)
        else:
            claims.uncounted += len(table) * times


def _claim_bitmap_data(
    image: Image, claims: Claims, table: Table[BitmapTableEntry[int]], number: int, times: int
) -> None:
    """What the entries of a bitmap table name; ``times`` bitmaps share the table."""
    import numpy as np

    column = table.column()
    offsets = (column & np.uint64(BitmapTableEntry.bitmap_cluster_offset.mask)).astype(np.int64)
    bad = ((column & np.uint64(BitmapTableEntry.RESERVED)) != 0) | (offsets % image.geometry.cluster_size != 0)
    bad |= (offsets != 0) & ((column & np.uint64(1)) != 0)
    at, counts = np.unique(offsets[(offsets != 0) & ~bad], return_counts=True)
    size = np.full(len(at), image.geometry.cluster_size, dtype=np.int64)
    claims.claim_all(Owner.BITMAP_DATA, at, size, counts.astype(np.int64) * times, np.full_like(at, number))


def bitmap_table(image: Image, bitmap: Bitmap) -> Table[BitmapTableEntry[int]]:
    """The table of a bitmap; no more entries than the file has room for."""
    entry = bitmap.entry
    at = entry.bitmap_table_offset
    most = min(max(0, -(-(image.end - at) // 8)), _MAX_BITMAP_TABLE // image.geometry.cluster_size)
    return Table(HostOffset(at), min(entry.bitmap_table_size, most), BitmapTableEntry[int], image.read)
