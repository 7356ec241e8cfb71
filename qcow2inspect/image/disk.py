"""Guest disks: from guest offset to bytes through L1 and L2 tables.

:meth:`ActiveDisk.lookup` answers for one place with plain integers, :meth:`ActiveDisk.extents` for a whole range
with columns; both say the same (a test holds them to it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.codec import codec_for
from qcow2inspect.errors import BadStream, Damaged, NeedsFile, NeedsKey, Qcow2InspectError
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.mapping import (
    ClusterType,
    L1Entry,
    L2Entry,
    classify,
    classify_column,
    compressed_descriptor,
    subcluster_types,
)
from qcow2inspect.image.cache import Cache
from qcow2inspect.image.view import Extent
from qcow2inspect.layout.structure import printable
from qcow2inspect.source.protocol import read_padded
from qcow2inspect.units import GuestOffset, GuestRange, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.image.guard import Obstacle
    from qcow2inspect.image.image import Image
    from qcow2inspect.image.table import L2Table, Table
    from qcow2inspect.source.protocol import Source

__all__ = ["ActiveDisk"]

_L2_OFFSET = L2Entry.host_cluster_offset.mask
_L1_CHUNK = 1 << 16
_INFLATED_KEPT = 1 << 22
_HAS_HOST = (ClusterType.NORMAL, ClusterType.ZERO_ALLOC, ClusterType.UNALLOCATED_ALLOC)
_IS_ZERO = (ClusterType.ZERO_PLAIN, ClusterType.ZERO_ALLOC)
_IS_ABSENT = (ClusterType.UNALLOCATED, ClusterType.UNALLOCATED_ALLOC)


class ActiveDisk:
    """The guest disk as the active L1 table describes it.

    A view (:class:`~qcow2inspect.image.view.View`) of ``size`` guest bytes: the header's size, rounded down to
    whole sectors as QEMU does it.

    Args:
        image: the image.
        lenient: read on although QEMU refuses the image, if guest data does not depend on what is wrong.

    Raises:
        Damaged: QEMU refuses the image for its header.
    """

    def __init__(self, image: Image, *, lenient: bool = False) -> None:
        for obstacle in image.obstacles:
            if obstacle.blocks_reading or not lenient:
                raise _refused(image, obstacle)
        self.image = image
        self.name = f"{image.name} (active disk)"
        self.size = image.header.size // SECTOR * SECTOR
        self._geometry = image.geometry
        self._l1: Table[L1Entry[int]] = image.l1
        self._codec = codec_for(image.header.compression_type)
        self._inflated: Cache[bytes] = Cache(_INFLATED_KEPT // self._geometry.cluster_size, self._inflate)
        self._needs_backing = _backing_error(image)
        self._needs_key = _key_error(image)
        self._needs_data_file = _data_file_error(image)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The image file."""
        return (self.image.source,)

    # -- one place --------------------------------------------------------------------------------------------

    def lookup(self, guest: GuestOffset) -> Extent:
        """The extent around ``guest``: one cluster, one run of equal subclusters, or what one L1 entry covers.

        Raises:
            IndexError: ``guest`` is not on the disk.
        """
        if not 0 <= guest < self.size:
            raise IndexError(guest)
        geometry = self._geometry
        l1_index, l2_index = geometry.l1_index(guest), geometry.l2_index(guest)
        entry = self._l1[l1_index]
        table = self._table(l1_index, entry)
        if not isinstance(table, Extent):
            return self._clip(self._lookup_l2(table, l1_index, l2_index, guest))
        return self._clip(table)

    def _clip(self, extent: Extent) -> Extent:
        if extent.guest.end <= self.size:
            return extent
        return self._cut(extent, GuestRange(extent.guest.start, GuestOffset(self.size)))

    def _table(self, l1_index: int, entry: L1Entry[int]) -> L2Table | Extent:
        """The L2 table of an L1 entry, or the extent of its whole span if there is none to read."""
        span = self._geometry.guest_span(l1_index)
        at = entry.l2_table_offset
        if not at:
            past_end = self._l1.where(l1_index).end > self.image.end
            return self._extent(span, ClusterType.UNALLOCATED, past_end=past_end)
        if not self._geometry.is_aligned(at):
            return Extent(
                span,
                ClusterType.INVALID,
                error=Damaged(
                    f"guest {span}: L1[{l1_index}] at host {self._l1.where(l1_index).start} points to {at}, "
                    f"no multiple of the cluster size {self._geometry.cluster_size:,}",
                    why="the L2 table that maps these bytes cannot be found",
                ),
            )
        if at >= self.image.end:
            return self._extent(span, ClusterType.UNALLOCATED, past_end=True)
        return self.image.l2_table(at)

    def _lookup_l2(self, table: L2Table, l1_index: int, l2_index: int, guest: GuestOffset) -> Extent:
        image = self.image
        raw = table[l2_index].raw
        kind = classify(raw, extended_l2=table.extended, data_file=image.has_data_file)
        cluster = self._geometry.guest_cluster(l1_index, l2_index)
        if kind is ClusterType.COMPRESSED:
            return self._compressed(cluster, raw)
        first, last = 0, 1
        if table.extended:
            within = (guest - cluster.start) // self._geometry.subcluster_size
            runs = subcluster_types(kind, table.bitmap(l2_index).raw)
            kind, first, last = next(run for run in runs if run[1] <= within < run[2])
        size = self._geometry.subcluster_size
        part = GuestRange.at(cluster.start + first * size, (last - first) * size)
        return self._stored(part, kind, (raw & _L2_OFFSET) + first * size)

    # -- a range ----------------------------------------------------------------------------------------------

    def extents(self, within: GuestRange | None = None) -> Iterator[Extent]:
        """The extents that cover ``within`` (the whole disk by default), in order, joined where they continue."""
        part = within.clip(0, self.size) if within else GuestRange.at(0, self.size)
        last: Extent | None = None
        for piece in self._pieces(part):
            extent = self._cut(piece, piece.guest.clip(part.start, part.end))
            if not extent.guest:
                continue
            if last is None:
                last = extent
            elif _continues(last, extent):
                last = _joined(last, extent)
            else:
                yield last
                last = extent
        if last is not None:
            yield last

    def _pieces(self, part: GuestRange) -> Iterator[Extent]:
        import numpy as np

        if not part:
            return
        geometry = self._geometry
        stop = geometry.l1_index(GuestOffset(part.end - 1)) + 1
        for chunk in range(geometry.l1_index(part.start), stop, _L1_CHUNK):
            column = self._l1.column(chunk, min(chunk + _L1_CHUNK, stop))
            used = np.flatnonzero(column & np.uint64(L1Entry.l2_table_offset.mask))
            done = 0
            for index in [*used.tolist(), len(column)]:
                if index > done:
                    yield from self._unused(chunk + done, chunk + index)
                if index < len(column):
                    yield from self._span(chunk + index, L1Entry(int(column[index])), part)
                done = index + 1

    def _unused(self, start: int, stop: int) -> Iterator[Extent]:
        """L1 entries ``[start, stop)`` without an L2 table; those past the end of the file apart."""
        stored = max(0, self.image.end - self._l1.at) // self._l1.stride
        border = min(max(start, stored), stop)
        for low, high, past_end in ((start, border, False), (border, stop, True)):
            if high > low:
                span = GuestRange(self._geometry.guest_span(low).start, self._geometry.guest_span(high).start)
                yield self._extent(span, ClusterType.UNALLOCATED, past_end=past_end)

    def _span(self, l1_index: int, entry: L1Entry[int], part: GuestRange) -> Iterator[Extent]:
        table = self._table(l1_index, entry)
        if isinstance(table, Extent):
            yield table
            return
        geometry = self._geometry
        inside = geometry.guest_span(l1_index).clip(part.start, part.end)
        first = geometry.l2_index(inside.start)
        last = geometry.l2_index(GuestOffset(inside.end - 1)) + 1
        yield from self._runs(table, geometry.guest_cluster(l1_index, first).start, first, last)

    def _runs(self, table: L2Table, guest: GuestOffset, first: int, last: int) -> Iterator[Extent]:
        """Extents of entries ``[first, last)`` of a table; ``guest`` is where entry ``first`` maps to."""
        import numpy as np

        words = table.words(first, last)
        raw = words[:, 0]
        kinds = classify_column(raw, extended_l2=table.extended, data_file=self.image.has_data_file)
        hosts = raw & np.uint64(_L2_OFFSET)
        if table.extended:
            kinds, hosts = _expand(kinds, hosts, words[:, 1], self._geometry.subcluster_size)
        unit = self._geometry.subcluster_size
        compressed = kinds == ClusterType.COMPRESSED
        has_host = np.isin(kinds, _HAS_HOST)
        base = np.where(has_host, hosts - np.arange(len(hosts), dtype=np.uint64) * np.uint64(unit), np.uint64(0))
        breaks = (kinds[1:] != kinds[:-1]) | (base[1:] != base[:-1])
        whole = np.arange(1, len(kinds)) % self._geometry.subclusters == 0
        breaks |= compressed[1:] & whole
        starts = [0, *(np.flatnonzero(breaks) + 1).tolist()]
        for start, stop in zip(starts, [*starts[1:], len(kinds)], strict=True):
            part = GuestRange.at(guest + start * unit, (stop - start) * unit)
            kind = ClusterType(int(kinds[start]))
            if kind is ClusterType.COMPRESSED:
                yield self._compressed(part, int(raw[start // self._geometry.subclusters]))
            else:
                yield from self._split_at_end(self._stored(part, kind, int(hosts[start])))

    def _split_at_end(self, extent: Extent) -> Iterator[Extent]:
        """A run of host clusters that crosses the end of the file, cut where whole clusters are missing."""
        if extent.host is None or extent.past_end or isinstance(extent.error, (Damaged, NeedsFile)):
            yield extent
            return
        border = self._geometry.host_clusters(self.image.end) * self._geometry.cluster_size
        kept = extent.host.clip(0, border).size
        if kept == extent.host.size or not kept:
            yield extent
            return
        cut = GuestOffset(extent.guest.start + kept)
        yield self._cut(extent, GuestRange(extent.guest.start, cut))
        rest = GuestRange(cut, extent.guest.end)
        yield self._stored(rest, extent.kind, border)

    # -- extents ----------------------------------------------------------------------------------------------

    def _extent(self, guest: GuestRange, kind: ClusterType, *, past_end: bool = False) -> Extent:
        """An extent without host bytes."""
        error: Qcow2InspectError | None = None
        if kind in _IS_ABSENT:
            error = self._needs_backing
        elif kind in _IS_ZERO and self.image.header.version < 3:
            error = Damaged(
                f"guest {guest}: an L2 entry has the zero flag (bit 0), which version 2 does not have",
                why="QEMU refuses to read these bytes",
            )
        elif kind is ClusterType.INVALID:
            error = Damaged(
                f"guest {guest}: the subcluster allocation bitmap of an extended L2 entry contradicts itself",
                why="whether these bytes are stored, zero or absent cannot be told",
            )
        return Extent(guest, kind, error=error, past_end=past_end)

    def _stored(self, guest: GuestRange, kind: ClusterType, host: int) -> Extent:
        """An extent of any type but compressed; ``host`` is where its first byte lies, if the type has one."""
        if kind not in _HAS_HOST:
            return self._extent(guest, kind)
        where = HostRange.at(host, guest.size)
        inside = (guest.start - where.start) % self._geometry.cluster_size
        plain = self._extent(guest, kind)
        error = plain.error
        past_end = False
        if inside:
            error = Damaged(
                f"guest {guest}: the L2 entry points to host {where.start}, "
                f"no multiple of the cluster size {self._geometry.cluster_size:,}",
                why="where these bytes lie cannot be told",
            )
        elif self.image.has_data_file:
            if host != guest.start:
                error = Damaged(
                    f"guest {guest}: the L2 entry points to {where.start} of the external data file, "
                    "where only an equal offset is allowed",
                    why="which bytes are meant cannot be told",
                )
            elif kind is ClusterType.NORMAL:
                error = self._needs_data_file
        elif kind is ClusterType.NORMAL:
            past_end = where.start - where.start % self._geometry.cluster_size >= self.image.end
            error = self._needs_key
        return Extent(guest, kind, where, error=error, past_end=past_end)

    def _compressed(self, guest: GuestRange, raw: int) -> Extent:
        run = compressed_descriptor(self._geometry.cluster_bits)(raw).run()
        error = None
        if self.image.has_data_file:
            error = Damaged(
                f"guest {guest}: a compressed cluster in an image with an external data file",
                why="the specification forbids it and QEMU refuses to read it",
            )
        return Extent(guest, ClusterType.COMPRESSED, run, error=error)

    def _cut(self, extent: Extent, guest: GuestRange) -> Extent:
        """The part of an extent that covers ``guest``; a compressed run belongs to all of its cluster."""
        if guest == extent.guest:
            return extent
        host = extent.host
        if host is not None and extent.kind is not ClusterType.COMPRESSED:
            host = HostRange.at(host.start + (guest.start - extent.guest.start), guest.size)
        return Extent(guest, extent.kind, host, extent.layer, extent.error, extent.past_end)

    # -- bytes ------------------------------------------------------------------------------------------------

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` guest bytes from ``offset`` on; fewer only at the end of the disk.

        Raises:
            CannotRead, Damaged, NeedsFile, NeedsKey: a part of the range cannot be read; the error names it.
        """
        if offset < 0 or size < 0:
            raise ValueError(f"cannot read {size} bytes at {offset}")
        at, end = offset, min(offset + size, self.size)
        parts: list[bytes] = []
        while at < end:
            extent = self.lookup(GuestOffset(at))
            stop = min(extent.guest.end, end)
            parts.append(self.read_extent(self._cut(extent, GuestRange(GuestOffset(at), GuestOffset(stop)))))
            at = stop
        return b"".join(parts)

    def read_extent(self, extent: Extent) -> bytes:
        """The bytes of an extent of this disk.

        Raises:
            CannotRead, Damaged, NeedsFile, NeedsKey: they cannot be read.
        """
        if extent.error is not None:
            raise extent.error
        if extent.kind is ClusterType.NORMAL and extent.host is not None:
            return read_padded(self.image.source, extent.host.start, extent.guest.size)
        if extent.kind is not ClusterType.COMPRESSED:
            return bytes(extent.guest.size)
        cluster = extent.guest.start - extent.guest.start % self._geometry.cluster_size
        start = extent.guest.start - cluster
        return self._inflated[cluster][start : start + extent.guest.size]

    def plain(self, extent: Extent) -> tuple[Source, HostRange] | None:
        """Where the bytes of a normal extent lie in the image file; None for every other one."""
        if extent.error is not None or extent.kind is not ClusterType.NORMAL or extent.host is None:
            return None
        return self.image.source, extent.host

    def _inflate(self, guest: int) -> bytes:
        """The whole guest cluster at ``guest``, which is compressed."""
        geometry, offset = self._geometry, GuestOffset(guest)
        l1_index, l2_index = geometry.l1_index(offset), geometry.l2_index(offset)
        raw = self.image.l2_table(self._l1[l1_index].l2_table_offset)[l2_index].raw
        run = compressed_descriptor(geometry.cluster_bits)(raw).run()
        try:
            data = read_padded(self.image.source, run.start, run.size)
            return self._codec.decompress(data, geometry.cluster_size)
        except BadStream as error:
            raise BadStream(
                f"guest {geometry.guest_cluster(l1_index, l2_index)}: the compressed cluster at host {run} "
                f"(L1[{l1_index}].L2[{l2_index}]) cannot be inflated: {error.what}",
                why="its bytes are lost unless another copy exists",
            ) from error


def _expand(
    kinds: npt.NDArray[np.uint8], hosts: npt.NDArray[np.uint64], bitmaps: npt.NDArray[np.uint64], size: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint64]]:
    """Types and host offsets of all subclusters: arrays of ``32 * len(kinds)``, subcluster 0 of entry 0 first."""
    import numpy as np

    index = np.arange(32, dtype=np.uint64)
    allocated = (bitmaps[:, None] >> index & np.uint64(1)) != 0
    zero = (bitmaps[:, None] >> (index + np.uint64(32)) & np.uint64(1)) != 0
    normal = np.where(
        zero, ClusterType.ZERO_ALLOC, np.where(allocated, ClusterType.NORMAL, ClusterType.UNALLOCATED_ALLOC)
    )
    absent = np.where(zero, ClusterType.ZERO_PLAIN, ClusterType.UNALLOCATED)
    is_normal = kinds == ClusterType.NORMAL
    types = np.where(is_normal[:, None], normal, absent)
    invalid = np.where(is_normal, (allocated & zero).any(axis=1), allocated.any(axis=1))
    types[invalid] = ClusterType.INVALID
    types[kinds == ClusterType.COMPRESSED] = ClusterType.COMPRESSED
    offsets = hosts[:, None] + index * np.uint64(size)
    return types.reshape(-1).astype(np.uint8), offsets.reshape(-1)


def _continues(last: Extent, new: Extent) -> bool:
    """True if ``new`` goes on where ``last`` ends, in the guest and in the host file."""
    if (last.kind, last.past_end) != (new.kind, new.past_end) or new.kind is ClusterType.COMPRESSED:
        return False
    if last.error is not new.error:
        return False
    if last.host is None or new.host is None:
        return last.host is new.host
    return last.host.end == new.host.start


def _joined(last: Extent, new: Extent) -> Extent:
    host = HostRange(last.host.start, new.host.end) if last.host and new.host else None
    return Extent(GuestRange(last.guest.start, new.guest.end), last.kind, host, last.layer, last.error, last.past_end)


def _refused(image: Image, obstacle: Obstacle) -> Damaged:
    row = image.header.row(obstacle.field)
    if obstacle.blocks_reading:
        why = "where guest data lies cannot be told"
        hint = "“qcow2inspect header IMAGE” shows the fields; a copy with the right value can be read"
    else:
        why = "QEMU refuses the whole image for this"
        hint = "guest data does not depend on it: “--lenient” reads on"
    return Damaged(
        f"{image.name}: header field {obstacle.field} (offset {row.at:#x}): {obstacle.what}", why=why, hint=hint
    )


def _backing_error(image: Image) -> NeedsFile | None:
    if not image.header.backing_file_offset or not image.backing_name.partition(b"\0")[0]:
        return None  # QEMU takes an empty name as no backing file
    name = printable(image.backing_name)
    return NeedsFile(
        f"{image.name}: the image is an overlay: what it does not hold lies in its backing file “{name}”, "
        "which is not opened",
        why="zeros in its place would be wrong",
        hint=f"with “{name}” in place, “qemu-img convert -O raw” writes the whole disk",
    )


def _data_file_error(image: Image) -> NeedsFile | None:
    if not image.has_data_file:
        return None
    name = printable(image.data_file_name) or "(not named)"
    return NeedsFile(
        f"{image.name}: guest data lies in the external data file “{name}”, which is not opened",
        why="zeros in its place would be wrong",
        hint=f"with “{name}” in place, “qemu-img convert -O raw” writes the whole disk",
    )


def _key_error(image: Image) -> NeedsKey | None:
    method = image.header.crypt_method
    if method is CryptMethod.NONE:
        return None
    return NeedsKey(
        f"{image.name}: guest data is encrypted ({method.name}) and no key is given",
        why="the bytes without the key would be noise",
        hint="“qemu-img convert --image-opts ... --object secret” decrypts with the passphrase",
    )
