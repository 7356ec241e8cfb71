"""Images of version 1 ("qcow"): the header, two levels of tables, and the guest disk.

The tables are those of :mod:`qcow2inspect.format.v1`: no flags but "compressed", offsets of any alignment (data: whole
sectors), L2 tables that need not fill a cluster. What QEMU refuses, and what it reads past the end of the file,
holds here too.

Spec: Header, version 1 (QEMU's qcow driver; there is no written specification).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from qcow2inspect.errors import Damaged, NotQcow2, Unsupported
from qcow2inspect.evidence import watch
from qcow2inspect.format.geometry import MAX_BACKING_NAME
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.v1 import HeaderV1, L1EntryV1, L2EntryV1
from qcow2inspect.image.assumed import NOTHING_ASSUMED, Assumptions
from qcow2inspect.image.cache import Cache
from qcow2inspect.image.guard import Obstacle
from qcow2inspect.image.image import require_magic
from qcow2inspect.image.imagefile import ImageFile
from qcow2inspect.image.names import named_evidence
from qcow2inspect.image.table import Table
from qcow2inspect.image.view import HostFile
from qcow2inspect.units import HostOffset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.v1_disk import V1Disk
    from qcow2inspect.source.protocol import Source

__all__ = ["CLUSTER_BITS_V1", "L2_BITS_V1", "LAST_OFFSET_V1", "V1Image"]

CLUSTER_BITS_V1 = range(9, 17)
"""Cluster sizes from 512 bytes to 64 KiB."""
L2_BITS_V1 = range(6, 14)
"""L2 tables from 512 bytes to 64 KiB."""
LAST_OFFSET_V1 = (1 << 63) - (1 << 30)
"""QEMU's block layer reads nothing that ends behind it."""
_MAX_L1_ENTRIES = ((1 << 31) - 1) // 8
_TABLE_MEMORY = 4 << 20


class V1Image(ImageFile):
    """An image of version 1.

    Attributes:
        source: where its bytes come from.
        assumed: what is taken to stand in the header and the tables instead of what does.
        header: the header.
        obstacles: what QEMU would refuse the image for, in QEMU's order; empty for a sound header.

    Args:
        source: the bytes of the image.
        assumed: see above.

    Raises:
        CannotRead: the header cannot be read.
        NotQcow2: these are not the bytes of a qcow image, or the header is cut off.
        Unsupported: another version.
        Damaged: the sizes of clusters or L2 tables are impossible, so that no table can be read.
    """

    def __init__(self, source: Source, assumed: Assumptions = NOTHING_ASSUMED) -> None:
        super().__init__(source, assumed)
        version = require_magic(source, assumed)
        if version != 1:
            raise Unsupported(f"{source.name}: header field version (offset 0x4) is {version:,}, not 1")
        data = assumed.over(0, source.read_at(0, HeaderV1.SIZE))
        if len(data) < HeaderV1.SIZE:
            raise NotQcow2(
                f"{source.name} is cut off inside the header: it has {len(data)} bytes, this header {HeaderV1.SIZE}",
                hint="check that the file was copied whole",
            )
        self.header = HeaderV1.parse(data)
        self._require("cluster_bits", CLUSTER_BITS_V1, "without the cluster size no table can be found")
        self._require("l2_bits", L2_BITS_V1, "without the size of L2 tables no cluster can be found")
        self.obstacles: tuple[Obstacle, ...] = tuple(_obstacles(self.header))
        self._tables: Cache[Table[L2EntryV1[int]]] = Cache(_TABLE_MEMORY // self._l2_size, self._read_l2_table)
        watch(self, named_evidence)

    def _require(self, field: str, possible: range, why: str) -> None:
        value = getattr(self.header, field)
        if value not in possible:
            raise Damaged(
                f"{self.name}: header field {field} (offset {HeaderV1.row(field).at:#x}) is {value:,}, "
                f"possible are {possible[0]} to {possible[-1]}",
                why=why,
                hint="“qcow2inspect header IMAGE” shows the fields",
            )

    # -- what follows from the header -------------------------------------------------------------------------

    @property
    def cluster_size(self) -> int:
        """Bytes of a cluster."""
        return 1 << self.header.cluster_bits

    @property
    def l2_entries(self) -> int:
        """Entries of an L2 table."""
        return 1 << self.header.l2_bits

    @property
    def l2_span(self) -> int:
        """Guest bytes that one L2 table maps."""
        return self.cluster_size * self.l2_entries

    @property
    def _l2_size(self) -> int:
        return self.l2_entries * 8

    @property
    def is_encrypted(self) -> bool:
        """True if guest data is encrypted."""
        return self.header.crypt_method is not CryptMethod.NONE

    @cached_property
    def backing_name(self) -> bytes:
        """The backing file name as stored; empty if there is none. Its format is never stated."""
        header = self.header
        if not header.backing_file_offset:
            return b""
        name = self.source.read_at(header.backing_file_offset, min(header.backing_file_size, MAX_BACKING_NAME))
        return self.assumed.over(header.backing_file_offset, name)

    # What only later versions have, so that whoever follows a chain need not ask for the version.
    backing_format = b""
    data_file_name = b""
    has_data_file = False

    # -- tables -----------------------------------------------------------------------------------------------

    @cached_property
    def l1(self) -> Table[L1EntryV1[int]]:
        """The L1 table; its length follows from the size of the disk, and is no more than QEMU allows."""
        count = min(self.header.l1_size, _MAX_L1_ENTRIES)
        return Table(self.header.l1_table_offset, count, L1EntryV1, self.read)

    def l2_table(self, at: HostOffset) -> Table[L2EntryV1[int]]:
        """The L2 table at host offset ``at``, from a bounded memory of tables; bytes past the file are zero."""
        return self._tables[at]

    def _read_l2_table(self, at: int) -> Table[L2EntryV1[int]]:
        data = self.read(at, self._l2_size)
        return Table(
            HostOffset(at), self.l2_entries, L2EntryV1, lambda offset, size: data[offset - at : offset - at + size]
        )

    # -- views ------------------------------------------------------------------------------------------------

    def active_disk(self) -> V1Disk:
        """The guest disk, without any file behind it and without a key.

        Raises:
            Damaged: QEMU refuses the image for its header.
        """
        from qcow2inspect.image.support import alone
        from qcow2inspect.image.v1_disk import V1Disk

        return V1Disk(self, alone(self))

    def host_file(self) -> HostFile:
        """The image file, byte for byte."""
        return HostFile(self.source)


def _obstacles(header: HeaderV1) -> Iterator[Obstacle]:
    """All obstacles of a header whose cluster and L2 table sizes are valid, in QEMU's order."""
    if header.size < 2:
        yield Obstacle(
            "QCOW-V1-SIZE", "size", header.size, f"the disk size is {int(header.size)}; QEMU takes no less than 2 bytes"
        )
    if header.crypt_method > CryptMethod.AES:
        method = int(header.crypt_method)
        what = f"encryption method {method:,} is unknown in version 1: 0 none, 1 AES"
        yield Obstacle("QCOW-HDR-CRYPT", "crypt_method", method, what)
    if header.l1_size > _MAX_L1_ENTRIES:
        what = (
            f"the disk size {int(header.size):,} needs {header.l1_size:,} L1 entries; the limit is {_MAX_L1_ENTRIES:,}"
        )
        yield Obstacle("QCOW-HDR-SIZE-HUGE", "size", header.size, what)
    if header.l1_table_offset + header.l1_size * 8 > LAST_OFFSET_V1:
        what = f"the L1 table lies at {header.l1_table_offset}, beyond any possible file"
        yield Obstacle("QCOW-HDR-L1-OFFSET", "l1_table_offset", header.l1_table_offset, what)
    if header.backing_file_offset + header.backing_file_size > LAST_OFFSET_V1:
        what = f"the backing file name lies at {header.backing_file_offset}, beyond any possible file"
        yield Obstacle("QCOW-BACK-OFFSET", "backing_file_offset", header.backing_file_offset, what)
    elif header.backing_file_offset and header.backing_file_size > MAX_BACKING_NAME:
        length = header.backing_file_size
        what = f"the backing file name is {length:,} bytes long; at most {MAX_BACKING_NAME:,} are possible"
        yield Obstacle("QCOW-BACK-LONG", "backing_file_size", length, what)
