"""An open image: header, extensions and tables; tables are read when they are looked at."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from qcow2inspect.errors import CannotRead, Damaged, NotQcow2, Unsupported
from qcow2inspect.evidence import watch
from qcow2inspect.format.extensions import ExtensionArea, HeaderExtension, parse_extensions
from qcow2inspect.format.extensions.backing_format import BackingFormat
from qcow2inspect.format.extensions.bitmaps import Bitmaps
from qcow2inspect.format.extensions.data_file import DataFile
from qcow2inspect.format.extensions.encryption import EncryptionHeader
from qcow2inspect.format.geometry import (
    CLUSTER_BITS,
    MAX_BACKING_NAME,
    MAX_BITMAPS,
    MAX_L1_ENTRIES,
    MAX_REFCOUNT_TABLE,
    MAX_SNAPSHOT_EXTRA,
    MAX_SNAPSHOT_TABLE,
    MAX_SNAPSHOTS,
    Geometry,
)
from qcow2inspect.format.header import MAGIC, Header, HeaderV2, HeaderV3
from qcow2inspect.format.mapping import L1Entry
from qcow2inspect.format.refcount import RefcountTableEntry
from qcow2inspect.image.assumed import NOTHING_ASSUMED, Assumptions
from qcow2inspect.image.cache import Cache
from qcow2inspect.image.guard import Obstacle, obstacles
from qcow2inspect.image.imagefile import ImageFile
from qcow2inspect.image.names import named_evidence
from qcow2inspect.image.table import L2Table, Table
from qcow2inspect.image.view import HostFile
from qcow2inspect.layout import packed
from qcow2inspect.source.file import FileSource
from qcow2inspect.units import HostOffset, HostRange

if TYPE_CHECKING:
    from typing import TypeVar

    from qcow2inspect.format.bitmap import Bitmap
    from qcow2inspect.format.luks import LuksHeader
    from qcow2inspect.format.snapshot import Snapshot
    from qcow2inspect.image.disk import Disk
    from qcow2inspect.source.protocol import Source

    X = TypeVar("X", bound=HeaderExtension)

__all__ = ["Image", "require_magic"]

_TABLE_MEMORY = 4 << 20
_LARGEST_ENTRY = 40 + MAX_SNAPSHOT_EXTRA + 2 * 65_535
_WINDOW = 4 * _LARGEST_ENTRY
_MAX_BITMAP_DIRECTORY = 64 << 20


def require_magic(source: Source, assumed: Assumptions = NOTHING_ASSUMED) -> int:
    """The version of a qcow image, as far as nothing else is assumed.

    Raises:
        NotQcow2: the source is empty, too short, or starts with other bytes.
    """
    start = assumed.over(0, source.read_at(0, 8))
    if not start:
        raise NotQcow2(
            f"{source.name} is empty", hint="check that the file was copied whole", code="QCOW-HDR-TRUNCATED"
        )
    if start[:4] != MAGIC.to_bytes(4, "big")[: len(start)]:
        raise NotQcow2(
            f"{source.name} is not a qcow2 image: at offset 0 stands {start[:4].hex(' ')}, not 51 46 49 fb (QFI\\xfb)",
            hint="a raw disk needs no conversion; if a qcow2 image is expected, its header was overwritten: "
            "“--assume auto” looks for what is left of it",
            code="QCOW-HDR-MAGIC",
        )
    if len(start) < 8:
        raise NotQcow2(
            f"{source.name} is cut off inside the header: it has {len(start)} bytes, a header at least 72",
            hint="check that the file was copied whole",
            code="QCOW-HDR-TRUNCATED",
        )
    return int.from_bytes(start[4:], "big")


class Image(ImageFile):
    """An image of version 2 or 3.

    Attributes:
        source: where its bytes come from.
        header: the header; fields that the version does not have hold the implied values.
        geometry: sizes that follow from the header.
        assumed: what is taken to stand in the header and the tables instead of what does.

    Args:
        source: the bytes of the image.
        assumed: see above.

    Raises:
        CannotRead: the first cluster cannot be read.
        NotQcow2: these are not the bytes of a qcow2 image, or the header is cut off.
        Unsupported: version 1, or a version after 3.
        Damaged: the cluster size is impossible, so that no table can be found.
    """

    def __init__(self, source: Source, assumed: Assumptions = NOTHING_ASSUMED) -> None:
        super().__init__(source, assumed)
        version = require_magic(source, assumed)
        _require_version(source, version)
        self.header = Header.read(assumed.over(0, source.read_at(0, Header.SIZE)))
        needed = HeaderV2.SIZE if version == 2 else HeaderV3.SIZE  # QEMU, too, reads later fields as zero
        if source.size < needed:
            raise NotQcow2(
                f"{source.name} is cut off inside the header: it has {source.size} bytes, this header {needed}",
                hint="check that the file was copied whole",
                code="QCOW-HDR-TRUNCATED",
            )
        if self.header.cluster_bits not in CLUSTER_BITS:
            raise Damaged(
                f"{source.name}: header field cluster_bits (offset 0x14) is {self.header.cluster_bits:,}, "
                f"possible are {CLUSTER_BITS[0]} to {CLUSTER_BITS[-1]}",
                why="without the cluster size no table can be found",
                hint="“qcow2inspect header IMAGE” shows the fields; QEMU writes 16 unless told otherwise: "
                "“--assume cluster_bits=16” reads on, “--assume auto” looks for the right one",
                code="QCOW-HDR-CLUSTERBITS",
            )
        self.geometry = Geometry(
            self.header.cluster_bits,
            min(self.header.refcount_order, 6),
            self.header.incompatible_features.extended_l2 and self.header.cluster_bits >= 14,
        )
        self._tables: Cache[L2Table] = Cache(_TABLE_MEMORY // self.geometry.cluster_size, self._read_l2_table)
        watch(self, named_evidence)

    def _read_stored(self, offset: int, size: int) -> bytes:
        """Like :meth:`read`, but short at the end of the file."""
        return self.assumed.over(offset, self.source.read_at(offset, size))

    @property
    def changed(self) -> bool:
        """True if somebody has written to the image file since it was opened."""
        return isinstance(self.source, FileSource) and self.source.changed

    # -- header -----------------------------------------------------------------------------------------------

    @cached_property
    def obstacles(self) -> tuple[Obstacle, ...]:
        """What QEMU would refuse the image for, in QEMU's order; empty if it opens it."""
        return tuple(obstacles(self))

    @cached_property
    def extensions(self) -> ExtensionArea:
        """The header extensions."""
        header = self.header
        cluster = self.read(0, self.geometry.cluster_size)
        end = min(header.backing_file_offset or self.geometry.cluster_size, self.geometry.cluster_size)
        return parse_extensions(cluster, max(header.header_length, HeaderV2.SIZE), end)

    def extension(self, kind: type[X]) -> X | None:
        """The last header extension of a kind (the one that counts in QEMU); None if there is none."""
        found = [extension for extension in self.extensions.extensions if isinstance(extension, kind)]
        return found[-1] if found else None

    @property
    def has_data_file(self) -> bool:
        """True if guest data lies in an external data file."""
        return self.header.incompatible_features.data_file

    @cached_property
    def backing_name(self) -> bytes:
        """The backing file name as stored; empty if there is none, cut at 1023 bytes and at the end of cluster 0."""
        header = self.header
        if not header.backing_file_offset or header.backing_file_offset >= self.geometry.cluster_size:
            return b""
        room = self.geometry.cluster_size - header.backing_file_offset
        return self._read_stored(header.backing_file_offset, min(header.backing_file_size, room, MAX_BACKING_NAME))

    @property
    def backing_format(self) -> bytes:
        """The backing file's format name as stored; empty if the image does not say."""
        extension = self.extension(BackingFormat)
        return extension.data if extension else b""

    @property
    def data_file_name(self) -> bytes:
        """The external data file's name as stored; empty if the image does not say."""
        extension = self.extension(DataFile)
        return extension.data if extension else b""

    @cached_property
    def luks(self) -> LuksHeader | None:
        """The LUKS header; None if the image points to none, or it is none."""
        extension = self.extension(EncryptionHeader)
        pointer = extension.pointer if extension else None
        if pointer is None or not pointer.offset or pointer.offset >= self.end:
            return None
        from qcow2inspect.format.luks import LUKS_MAGIC, LuksHeader, read_luks

        data = self.read(pointer.offset, LuksHeader.SIZE)
        return read_luks(data, pointer.offset) if data.startswith(LUKS_MAGIC) else None

    # -- tables -----------------------------------------------------------------------------------------------

    @cached_property
    def l1(self) -> Table[L1Entry[int]]:
        """The active L1 table; no more entries than QEMU allows, whatever the header says."""
        return Table(self.header.l1_table_offset, min(self.header.l1_size, MAX_L1_ENTRIES), L1Entry, self.read)

    def l2_table(self, at: HostOffset) -> L2Table:
        """The L2 table at host offset ``at``, from a bounded memory of tables; bytes past the file are zero."""
        return self._tables[at]

    def _read_l2_table(self, at: int) -> L2Table:
        return L2Table(HostOffset(at), self.geometry, self.read(at, self.geometry.cluster_size))

    @cached_property
    def refcount_table(self) -> Table[RefcountTableEntry[int]]:
        """The refcount table; no larger than QEMU allows, whatever the header says."""
        size = min(self.header.refcount_table_clusters * self.geometry.cluster_size, MAX_REFCOUNT_TABLE)
        count = size // 8
        return Table(self.header.refcount_table_offset, count, RefcountTableEntry, self.read)

    def refcount_where(self, cluster: int) -> HostRange | None:
        """Host bytes that hold the refcount of a host cluster; None if no refcount block covers it."""
        index, slot = divmod(cluster, self.geometry.refcount_block_entries)
        block = self.refcount_table[index].refcount_block_offset if index < len(self.refcount_table) else 0
        bits = self.geometry.refcount_bits
        return HostRange.at(block + slot * bits // 8, -(-bits // 8)) if block else None

    def refcount(self, cluster: int) -> int:
        """The stored refcount of a host cluster; 0 where no refcount block covers it."""
        where = self.refcount_where(cluster)
        if where is None:
            return 0
        bits = self.geometry.refcount_bits
        per_byte = max(1, 8 // bits)
        return packed.get(self.read(where.start, where.size), cluster % per_byte, bits)

    @cached_property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """The snapshot table entries that can be read; fewer than the header counts if the table is damaged.

        The first entry that ends behind the largest table that QEMU takes is the last one that is read.
        """
        count = min(self.header.nb_snapshots, MAX_SNAPSHOTS)
        if not count:
            return ()
        from qcow2inspect.format.snapshot import read_snapshot

        found: list[Snapshot] = []
        start = at = int(self.header.snapshots_offset)
        window_at, window = 0, b""
        while len(found) < count and at < self.end and at - start <= MAX_SNAPSHOT_TABLE:
            if at + _LARGEST_ENTRY > window_at + len(window) < self.end or not window:
                window_at, window = at, self._snapshot_bytes(at)
            try:
                snapshot = read_snapshot(window, at - window_at, HostOffset(at))
            except ValueError:
                break
            if snapshot.extra_size > MAX_SNAPSHOT_EXTRA:
                break
            found.append(snapshot)
            at += snapshot.size
        return tuple(found)

    def _snapshot_bytes(self, at: int) -> bytes:
        """What stands from ``at`` on: many entries at once, or one alone where the medium fails further on."""
        try:
            return self._read_stored(at, _WINDOW)
        except CannotRead:
            from qcow2inspect.format.snapshot import SnapshotEntry

            fixed = self._read_stored(at, SnapshotEntry.SIZE)
            if len(fixed) < SnapshotEntry.SIZE:
                return fixed
            entry = SnapshotEntry.parse(fixed)
            size = SnapshotEntry.SIZE + entry.extra_data_size + entry.id_size + entry.name_size
            return self._read_stored(at, min(size, _LARGEST_ENTRY))

    @cached_property
    def bitmaps(self) -> tuple[Bitmap, ...]:
        """The bitmap directory entries that can be read; fewer than the extension counts if it is damaged."""
        extension = self.extension(Bitmaps)
        pointer = extension.pointer if extension else None
        if pointer is None or pointer.bitmap_directory_offset >= self.end:
            return ()
        from qcow2inspect.format.bitmap import BitmapDirectoryEntry, read_bitmap

        at = int(pointer.bitmap_directory_offset)
        end = min(at + min(pointer.bitmap_directory_size, _MAX_BITMAP_DIRECTORY), self.end)
        found: list[Bitmap] = []
        window_at, window = at, b""
        while len(found) < min(pointer.nb_bitmaps, MAX_BITMAPS) and at + BitmapDirectoryEntry.SIZE <= end:
            try:
                bitmap = read_bitmap(window, at - window_at, HostOffset(at))
            except ValueError:
                if window_at + len(window) >= end:
                    break
                wanted = min(max(_WINDOW, 2 * len(window)) if window_at == at else _WINDOW, end - at)
                window_at, window = at, self._read_stored(at, wanted)
                end = end if len(window) == wanted else at + len(window)
                continue
            found.append(bitmap)
            at += bitmap.size
        return tuple(found)

    # -- views ------------------------------------------------------------------------------------------------

    def active_disk(self, *, lenient: bool = False) -> Disk:
        """The disk of the active state, without any file behind it and without a key.

        :func:`~qcow2inspect.image.follow.open_chain` opens what an image names.

        Raises:
            Damaged: QEMU refuses the image for its header.
        """
        from qcow2inspect.image.disk import active_disk

        return active_disk(self, lenient=lenient)

    def host_file(self) -> HostFile:
        """The image file, byte for byte."""
        return HostFile(self.source)


def _require_version(source: Source, version: int) -> None:
    if version == 1:
        raise Unsupported(
            f"{source.name} is a qcow image of version 1 (header field version, offset 0x4), "
            "which has none of the tables that are shown here",
            hint="“info”, “header”, “map” and “export” read version 1",
        )
    if version not in (2, 3):
        raise Unsupported(
            f"{source.name}: header field version (offset 0x4) is {version:,}; the specification has 1, 2 and 3",
            hint="the header is damaged, or the image was written by a newer program; “--assume version=3” reads on",
            code="QCOW-HDR-VERSION",
        )
