"""Guest disks: from guest offset to bytes through L1 and L2 tables, and through the files behind an image.

:meth:`Disk.lookup` answers for one place with plain integers, :meth:`Disk.extents` for a whole range with columns;
both say the same (a test holds them to it).
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from qcow2inspect.codec import codec_for
from qcow2inspect.errors import Damaged, Qcow2InspectError
from qcow2inspect.format.mapping import (
    ClusterType,
    L1Entry,
    L2Entry,
    classify,
    compressed_descriptor,
    subcluster_types,
)
from qcow2inspect.image.extents import ABSENT, is_absent, one_layer_up
from qcow2inspect.image.guest import Files, GuestDisk
from qcow2inspect.image.holes import WORTHWHILE, in_holes
from qcow2inspect.image.mapping import active_mapping
from qcow2inspect.image.runs import HAS_HOST, RunFinder, columns_pay
from qcow2inspect.image.support import Support, alone, refused
from qcow2inspect.image.view import NOWHERE, Extent
from qcow2inspect.source.protocol import read_padded
from qcow2inspect.units import GuestOffset, GuestRange, HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.image.image import Image
    from qcow2inspect.image.mapping import Mapping
    from qcow2inspect.image.table import L2Table
    from qcow2inspect.source.protocol import Source

__all__ = ["Disk", "active_disk"]

_L1_OFFSET = L1Entry.l2_table_offset.mask
_L2_OFFSET = L2Entry.host_cluster_offset.mask
_L1_CHUNK = 1 << 16
_L1_KNOWN = 1 << 12
_NOT_PLAIN = 1 << 62 | 1  # compressed, or reads as zeros
_IS_ZERO = (ClusterType.ZERO_PLAIN, ClusterType.ZERO_ALLOC)
_KINDS = tuple(ClusterType)
_OF_ACTIVE = ("size", "l1_size", "l1_table_offset")


def active_disk(image: Image, *, lenient: bool = False) -> Disk:
    """The disk of the active state of one image, without any file behind it and without a key.

    Raises:
        Damaged: QEMU refuses the image for its header.
    """
    return Disk(image, active_mapping(image), alone(image), lenient=lenient)


class Disk(GuestDisk):
    """The guest disk as one L1 table describes it, that of the active state or of a snapshot.

    A view (:class:`~qcow2inspect.image.view.View`) of ``size`` guest bytes: the mapping's size, rounded down to
    whole sectors as QEMU does it.

    Args:
        image: the image.
        mapping: the L1 table, and the size of the disk.
        support: what lies behind the image, its data file, its key.
        lenient: read on although QEMU refuses the image, if guest data does not depend on what is wrong.

    Raises:
        Damaged: QEMU refuses the image for its header.
    """

    def __init__(self, image: Image, mapping: Mapping, support: Support, *, lenient: bool = False) -> None:
        for obstacle in image.obstacles:
            if not lenient or (obstacle.blocks_reading and not (mapping.prefix and obstacle.field in _OF_ACTIVE)):
                raise refused(image, obstacle)
        _require_table(image, mapping)
        self.image = image
        self.mapping = mapping
        self.support = support
        self._geometry = image.geometry
        self._l1 = mapping.l1
        self._l1_known: dict[int, int] = {}
        self._needs_data_file, self._file = _file_of(image, support)
        files = Files(image.source, self._file, codec_for(image.header.compression_type), self._geometry.cluster_size)
        super().__init__(f"{image.name} ({mapping.title})", mapping.size, files, support)
        has_zero_flag = image.header.version >= 3
        self._finder = RunFinder(self._geometry, image.has_data_file, has_zero_flag, image.source.size)
        self._stored_as_they_are = not (image.geometry.extended_l2 or image.has_data_file or support.cipher)

    @property
    def assumed(self) -> Assumptions:
        """What is taken to stand in the metadata of the image."""
        return self.image.assumed

    def coarse(self) -> Disk:
        """The same disk with fewer extents where its bytes are lost.

        They cover the same bytes with the same fate, but garbage that leads anywhere makes one extent, not one for each
        entry, unless there are few; the first entry gives the reason, and host bytes that are fewer than those of the
        guest. No byte of such an extent can be read: streams behind the end of the file, crooked entries, clusters past
        the end.
        """
        other = copy(self)
        other._finder = replace(self._finder, coarse=True)
        if isinstance(self._backing, Disk):
            other._backing = self._backing.coarse()
        return other

    # -- one place --------------------------------------------------------------------------------------------

    def lookup(self, guest: GuestOffset) -> Extent:
        """The extent around ``guest``: one cluster, one run of equal subclusters, or what one L1 entry covers.

        Raises:
            IndexError: ``guest`` is not on the disk.
        """
        if not 0 <= guest < self.size:
            raise IndexError(guest)
        own = self._clip(self._lookup_here(guest))
        if self._backing is None or not is_absent(own):
            return own
        if guest >= self._backing.size:
            return own.cut(max(own.start, self._backing.size), own.end)
        below = self._backing.lookup(guest)
        return one_layer_up(below, max(own.start, below.start), min(own.end, below.end), own)

    def _lookup_here(self, guest: GuestOffset) -> Extent:
        geometry = self._geometry
        l1_index, l2_index = geometry.l1_index(guest), geometry.l2_index(guest)
        if l1_index >= len(self._l1):
            span = GuestRange(geometry.guest_span(len(self._l1)).start, geometry.guest_span(l1_index).end)
            return self._extent(span, ClusterType.UNALLOCATED, past_end=True)
        table = self._table(l1_index, L1Entry(self._l1_raw(l1_index)))
        return table if isinstance(table, Extent) else self._lookup_l2(table, l1_index, l2_index, guest)

    def _l1_raw(self, index: int) -> int:
        """An L1 entry, from a bounded memory of those that were asked for one by one."""
        raw = self._l1_known.get(index)
        if raw is None:
            if len(self._l1_known) >= _L1_KNOWN:
                self._l1_known.clear()
            raw = self._l1_known[index] = self._l1[index].raw
        return raw

    def _clip(self, extent: Extent) -> Extent:
        return extent if extent.end <= self.size else extent.cut(extent.start, self.size)

    def _table(self, l1_index: int, entry: L1Entry[int]) -> L2Table | Extent:
        """The L2 table of an L1 entry, or the extent of its whole span if there is none to read."""
        span = self._geometry.guest_span(l1_index)
        at = entry.l2_table_offset
        if not at:
            past_end = self._l1.where(l1_index).end > self.image.end
            return self._extent(span, ClusterType.UNALLOCATED, past_end=past_end)
        if not self._geometry.is_aligned(at):
            return Extent.of(
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

    def _pieces(self, part: GuestRange) -> Iterator[Extent]:
        geometry = self._geometry
        end = geometry.l1_index(GuestOffset(part.end - 1)) + 1
        stop = min(end, len(self._l1))
        for chunk in range(geometry.l1_index(part.start), stop, _L1_CHUNK):
            last = min(chunk + _L1_CHUNK, stop)
            done = chunk
            for index, raw in self._used(chunk, last):
                if index > done:
                    yield from self._unused(done, index)
                yield from self._span(index, L1Entry(raw), part)
                done = index + 1
            if last > done:
                yield from self._unused(done, last)
        if end > stop:
            beyond = max(stop, geometry.l1_index(part.start))
            span = GuestRange(geometry.guest_span(beyond).start, geometry.guest_span(end).start)
            yield self._extent(span, ClusterType.UNALLOCATED, past_end=True)

    def _used(self, start: int, stop: int) -> list[tuple[int, int]]:
        """L1 entries ``[start, stop)`` that have an L2 table which may hold something: index and value."""
        if not columns_pay(stop - start):
            words = self._l1.integers(start, stop)
            found = [(index, raw) for index, raw in enumerate(words, start) if raw & _L1_OFFSET]
            if len(found) < WORTHWHILE:
                return found
        import numpy as np

        column = self._l1.column(start, stop)
        offsets = column & np.uint64(_L1_OFFSET)
        used = np.flatnonzero(offsets)
        aligned = (offsets[used] & np.uint64(self._geometry.cluster_size - 1)) == 0
        used = used[~(aligned & in_holes(self.image, offsets[used]))]
        return list(zip((used + start).tolist(), column[used].tolist(), strict=True))

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
        why_not = {ClusterType.NORMAL: self._needs_key, **dict.fromkeys(ABSENT, self._needs_backing)}
        absent = ABSENT if self._absent_as_zero else ()
        for start, size, number, at, host_size, sound, entry in self._finder.runs(table, first, last):
            first, kind = guest + start, _KINDS[number]
            if sound:
                low, high = (at, at + host_size) if host_size else (NOWHERE, NOWHERE)
                yield Extent(first, first + size, kind, low, high, 0, why_not.get(kind), False, kind in absent)
            elif kind is ClusterType.COMPRESSED:
                yield self._compressed(GuestRange.at(first, size), entry)
            elif 0 < host_size < size:  # many that share one fate: place and reason are those of the first
                yield self._stored(GuestRange.at(first, host_size), kind, at)._replace(end=first + size)
            else:
                yield from self._split_at_end(self._stored(GuestRange.at(first, size), kind, at))

    def _split_at_end(self, extent: Extent) -> Iterator[Extent]:
        """A run of host clusters that crosses the end of the file, cut where whole clusters are missing."""
        border = self._geometry.host_clusters(self._file.size) * self._geometry.cluster_size
        is_odd = extent.past_end or isinstance(extent.error, Damaged) or self._needs_data_file
        if is_odd or not extent.host_start < border < extent.host_end:
            yield extent
            return
        rest = extent.cut(extent.start + border - extent.host_start, extent.end)
        yield extent.cut(extent.start, rest.start)
        yield self._stored(rest.guest, extent.kind, border)

    # -- extents ----------------------------------------------------------------------------------------------

    def _extent(self, guest: GuestRange, kind: ClusterType, *, past_end: bool = False) -> Extent:
        """An extent without host bytes."""
        error: Qcow2InspectError | None = None
        absent = kind in ABSENT and self._absent_as_zero
        if kind in ABSENT:
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
        return Extent.of(guest, kind, error=error, past_end=past_end, absent=absent)

    def _stored(self, guest: GuestRange, kind: ClusterType, host: int) -> Extent:
        """An extent of any type but compressed; ``host`` is where its first byte lies, if the type has one."""
        if kind not in HAS_HOST:
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
        elif self.image.has_data_file and host != guest.start:
            error = Damaged(
                f"guest {guest}: the L2 entry points to {where.start} of the external data file, "
                "where only an equal offset is allowed",
                why="which bytes are meant cannot be told",
            )
        elif kind in (ClusterType.NORMAL, ClusterType.ZERO_ALLOC):
            if kind is ClusterType.NORMAL:
                error = self._needs_data_file or self._needs_key
            cluster = where.start - where.start % self._geometry.cluster_size
            past_end = not self._needs_data_file and cluster >= self._file.size
        return Extent.of(guest, kind, where, error=error, past_end=past_end, absent=plain.absent)

    def _compressed(self, guest: GuestRange, raw: int) -> Extent:
        run = compressed_descriptor(self._geometry.cluster_bits)(raw).run()
        error = None
        if self.image.has_data_file:
            error = Damaged(
                f"guest {guest}: a compressed cluster in an image with an external data file",
                why="the specification forbids it and QEMU refuses to read it",
            )
        return Extent.of(guest, ClusterType.COMPRESSED, run, error=error)

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
            data = self._read_stored(at, end) if self._stored_as_they_are else b""
            if data:
                parts.append(data)
                at += len(data)
                continue
            extent = self.lookup(GuestOffset(at))
            stop = min(extent.end, end)
            parts.append(self.read_extent(extent.cut(at, stop)))
            at = stop
        return b"".join(parts)

    def _read_stored(self, at: int, end: int) -> bytes:
        """The bytes from ``at`` to the end of its cluster or ``end``, if its cluster is a sound normal one; else none.

        The short way for what nearly all clusters are; :meth:`lookup` says the same and all the rest.
        """
        index, inside = divmod(at, self._geometry.cluster_size)
        l1_index, l2_index = divmod(index, self._geometry.l2_entries)
        table = self._l1_raw(l1_index) & L1Entry.l2_table_offset.mask if l1_index < len(self._l1) else 0
        if not table or not self._geometry.is_aligned(table) or table >= self.image.end:
            return b""
        words = self.image.l2_table(HostOffset(table)).data
        raw = int.from_bytes(words[8 * l2_index : 8 * l2_index + 8], "big")
        host = raw & _L2_OFFSET
        if raw & _NOT_PLAIN or not host or host & (self._geometry.cluster_size - 1) or host >= self.image.end:
            return b""
        size = min(end - at, self._geometry.cluster_size - inside)
        return read_padded(self._file, host + inside, size)

    def _stream(self, guest: int) -> tuple[str, HostRange]:
        """Address of the L2 entry of the compressed cluster at ``guest``, and where its stream lies."""
        geometry, offset = self._geometry, GuestOffset(guest)
        l1_index, l2_index = geometry.l1_index(offset), geometry.l2_index(offset)
        raw = self.image.l2_table(self._l1[l1_index].l2_table_offset)[l2_index].raw
        return f"L1[{l1_index}].L2[{l2_index}]", compressed_descriptor(geometry.cluster_bits)(raw).run()


def _require_table(image: Image, mapping: Mapping) -> None:
    """A snapshot names its own L1 table, which no check of the header has seen."""
    if not mapping.prefix or image.geometry.is_aligned(mapping.l1.at):
        return
    raise Damaged(
        f"{image.name}: {mapping.title}: its L1 table lies at {mapping.l1.at}, "
        f"no multiple of the cluster size {image.geometry.cluster_size:,}",
        why="where its guest data lies cannot be told",
        hint="the other states of the disk do not depend on it",
    )


def _file_of(image: Image, support: Support) -> tuple[Qcow2InspectError | None, Source]:
    """Why normal clusters cannot be read (None if they can), and the file they lie in."""
    if not image.has_data_file:
        return None, image.source
    if support.data_file is None or isinstance(support.data_file, Qcow2InspectError):
        return support.data_file, image.source
    return None, support.data_file
