"""The guest disk of a version 1 image: from guest offset to bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.codec.deflate import Deflate
from qcow2inspect.errors import Damaged, Qcow2InspectError
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.format.v1 import HeaderV1, L1EntryV1, L2EntryV1, compressed_descriptor_v1
from qcow2inspect.image.guest import Files, GuestDisk
from qcow2inspect.image.v1 import LAST_OFFSET_V1
from qcow2inspect.image.view import Extent
from qcow2inspect.units import GuestOffset, GuestRange, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.image.support import Support
    from qcow2inspect.image.table import Table
    from qcow2inspect.image.v1 import V1Image

__all__ = ["V1Disk"]

_OFFSET = L2EntryV1.host_cluster_offset.mask
_L1_CHUNK = 1 << 16


class V1Disk(GuestDisk):
    """The guest disk of a version 1 image.

    A view (:class:`~qcow2inspect.image.view.View`) of ``size`` guest bytes: the header's size, rounded down to whole
    sectors as QEMU does it.

    Args:
        image: the image.
        support: what lies behind the image, its key.

    Raises:
        Damaged: QEMU refuses the image for its header.
    """

    def __init__(self, image: V1Image, support: Support) -> None:
        for obstacle in image.obstacles:
            raise Damaged(
                f"{image.name}: header field {obstacle.field} (offset {HeaderV1.row(obstacle.field).at:#x}): "
                f"{obstacle.what}",
                why="QEMU refuses the whole image for this",
                hint="“qcow2inspect header IMAGE” shows the fields",
            )
        self.image = image
        self.support = support
        self._cluster = image.cluster_size
        self._descriptor = compressed_descriptor_v1(image.header.cluster_bits)
        files = Files(image.source, image.source, Deflate(), self._cluster)
        super().__init__(f"{image.name} (active disk)", image.header.size, files, support)

    @property
    def assumed(self) -> Assumptions:
        """What is taken to stand in the metadata of the image."""
        return self.image.assumed

    # -- extents ----------------------------------------------------------------------------------------------

    def lookup(self, guest: GuestOffset) -> Extent:
        """The extent around ``guest``: its cluster, or the part of it that has one origin.

        Raises:
            IndexError: ``guest`` is not on the disk.
        """
        if not 0 <= guest < self.size:
            raise IndexError(guest)
        cluster = GuestRange.at(guest - guest % self._cluster, self._cluster)
        return next(extent for extent in self.extents(cluster) if guest in extent.guest)

    def _pieces(self, part: GuestRange) -> Iterator[Extent]:
        """Extents of this image that cover ``part`` and the rest of the clusters and tables it touches."""
        import numpy as np

        l1, span = self.image.l1, self.image.l2_span
        start, stop = part.start // span, (part.end - 1) // span + 1
        stored = min(max(start, -(-max(0, self.image.end - l1.at) // l1.stride)), stop)
        for first in range(start, stored, _L1_CHUNK):
            column = l1.column(first, min(first + _L1_CHUNK, stored))
            done = 0
            for index in np.flatnonzero(column).tolist():
                yield from self._unused(first + done, first + index)
                yield from self._span(first + index, L1EntryV1(int(column[index])), part)
                done = index + 1
            yield from self._unused(first + done, first + len(column))
        yield from self._unused(stored, stop, past_end=True)

    def _unused(self, start: int, stop: int, *, past_end: bool = False) -> Iterator[Extent]:
        """L1 entries ``[start, stop)`` without an L2 table."""
        span = self.image.l2_span
        if stop > start:
            yield self._unallocated(GuestRange.at(start * span, (stop - start) * span), past_end=past_end)

    def _unallocated(self, guest: GuestRange, *, past_end: bool = False) -> Extent:
        kind, error = ClusterType.UNALLOCATED, self._needs_backing
        return Extent.of(guest, kind, error=error, past_end=past_end, absent=self._absent_as_zero)

    def _span(self, l1_index: int, entry: L1EntryV1[int], part: GuestRange) -> Iterator[Extent]:
        """What one L2 table maps, as far as ``part`` touches it."""
        span, at = self.image.l2_span, entry.l2_table_offset
        guest = GuestRange.at(l1_index * span, span)
        if at + self.image.l2_entries * 8 > LAST_OFFSET_V1:
            what = f"guest {guest}: L1[{l1_index}] points to {at}, beyond any possible file"
            why = "the L2 table that maps these bytes cannot be found"
            yield Extent.of(guest, ClusterType.INVALID, error=Damaged(what, why=why))
        elif at >= self.image.end:
            yield self._unallocated(guest, past_end=True)
        else:
            inside = guest.clip(part.start, part.end)
            first = (inside.start - guest.start) // self._cluster
            last = (inside.end - guest.start - 1) // self._cluster + 1
            yield from self._runs(self.image.l2_table(at), guest.start + first * self._cluster, first, last)

    def _runs(self, table: Table[L2EntryV1[int]], guest: int, first: int, last: int) -> Iterator[Extent]:
        """Extents of entries ``[first, last)`` of a table, joined where they go on; ``guest`` is where they start."""
        import numpy as np

        raw = table.column(first, last)
        compressed = L2EntryV1(raw).compressed
        steps = np.arange(len(raw), dtype=np.uint64) * np.uint64(self._cluster)
        base = np.where(raw == 0, np.uint64(0), raw - steps)  # equal along a run, and for all unallocated clusters
        breaks = (base[1:] != base[:-1]) | compressed[1:] | compressed[:-1] | ((raw[1:] == 0) != (raw[:-1] == 0))
        breaks |= (raw[1:] >= np.uint64(self.image.end)) != (raw[:-1] >= np.uint64(self.image.end))
        starts = [0, *(np.flatnonzero(breaks) + 1).tolist()]
        for start, stop in zip(starts, [*starts[1:], len(raw)], strict=True):
            part = GuestRange.at(guest + start * self._cluster, (stop - start) * self._cluster)
            yield self._extent(part, int(raw[start]))

    def _extent(self, guest: GuestRange, raw: int) -> Extent:
        """A run of equal entries that starts with the entry ``raw``."""
        entry = L2EntryV1(raw)
        if not raw:
            return self._unallocated(guest)
        if entry.compressed:
            return Extent.of(guest, ClusterType.COMPRESSED, self._descriptor(raw).run())
        where = HostRange.at(entry.host_cluster_offset, guest.size)
        error: Qcow2InspectError | None = self._needs_key
        if where.start % SECTOR or where.end > LAST_OFFSET_V1:
            trouble = "no multiple of 512" if where.start % SECTOR else "beyond any possible file"
            error = Damaged(
                f"guest {guest}: the L2 entry points to host {where.start}, {trouble}",
                why="QEMU refuses to read these bytes",
            )
        return Extent.of(guest, ClusterType.NORMAL, where, error=error, past_end=where.start >= self.image.end)

    # -- bytes ------------------------------------------------------------------------------------------------

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` guest bytes from ``offset`` on; fewer only at the end of the disk.

        Raises:
            CannotRead, Damaged, NeedsFile, NeedsKey: a part of the range cannot be read; the error names it.
        """
        if offset < 0 or size < 0:
            raise ValueError(f"cannot read {size} bytes at {offset}")
        part = GuestRange.at(offset, size).clip(0, self.size)
        return b"".join(map(self.read_extent, self.extents(part))) if part else b""

    def _stream(self, guest: int) -> tuple[str, HostRange]:
        """Address of the L2 entry of the compressed cluster at ``guest``, and where its stream lies."""
        l1_index, inside = divmod(guest, self.image.l2_span)
        l2_index = inside // self._cluster
        raw = self.image.l2_table(self.image.l1[l1_index].l2_table_offset)[l2_index].raw
        return f"L1[{l1_index}].L2[{l2_index}]", self._descriptor(raw).run()
