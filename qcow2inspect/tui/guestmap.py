"""What every guest cluster of one state of the disk is, in the order of the guest.

A map by refcount or by state tells that of the host cluster that holds the guest cluster: it is taken from the map of
the image file. What lies in another file, or nowhere, has neither in this image, and the map says so.

L2 tables in which nothing is odd are looked at as columns; everything else goes through the extents of the view, which
know about layers, keys, damage and the ends of files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.disk import Disk
from qcow2inspect.image.windows import extents_of
from qcow2inspect.progress import Silent
from qcow2inspect.tui import clustermap
from qcow2inspect.tui.clustermap import ClusterMap, Count, GuestCount, GuestUse, Mapped, Use
from qcow2inspect.tui.nibbles import Nibbles, pieces
from qcow2inspect.units import GuestOffset, GuestRange, HostOffset

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.progress import Progress
    from qcow2inspect.survey.columns import Ints
    from qcow2inspect.tui.clustermap import Kind

    Kinds = npt.NDArray[np.uint8]

__all__ = ["find_guest", "make_guest_map"]

_KINDS = {
    ClusterType.UNALLOCATED: Mapped.UNALLOCATED,
    ClusterType.ZERO_PLAIN: Mapped.ZERO_PLAIN,
    ClusterType.ZERO_ALLOC: Mapped.ZERO_ALLOC,
    ClusterType.COMPRESSED: Mapped.COMPRESSED,
    ClusterType.NORMAL: Mapped.DATA,
}
_TOLD: dict[type[Kind], tuple[type[Kind], dict[Kind, Kind]]] = {
    Count: (GuestCount, {kind: GuestCount[kind.name] for kind in Count if kind.name in GuestCount.__members__}),
    Use: (GuestUse, {kind: GuestUse[kind.name] for kind in Use if kind.name in GuestUse.__members__}),
}
"""Kinds of the map of the file -> kinds of that of the disk, and which of them is which."""
_UNSTORED, _ELSEWHERE, _UNTOLD = 0, 1, 2
_CHUNK = 1 << 14


def make_guest_map(
    view: View,
    cluster_size: int,
    progress: Progress | None = None,
    *,
    counted: ClusterMap | None = None,
    elsewhere: bool = False,
) -> ClusterMap:
    """The map of the bytes that one state shows.

    Args:
        view: the bytes.
        cluster_size: guest bytes of a cluster.
        progress: told how far it is.
        counted: the map of the image file by refcount or by state, to tell that of each guest cluster; None to tell
            the type of each.
        elsewhere: the clusters of the view lie in another file than the one that was ``counted``.

    Raises:
        Cancelled: the user asked to stop.
    """
    made = _Types(view, cluster_size) if counted is None else _Counted(view, cluster_size, counted, elsewhere=elsewhere)
    return made.make(progress or Silent())


def find_guest(view: View, cluster_size: int, offset: HostOffset, progress: Progress | None = None) -> int | None:
    """The first guest byte of a view that lies at a host offset of its image file; None if there is none.

    Tables are looked at as for a map, and not kept: those of a large disk would take more memory than its map.

    Raises:
        Cancelled: the user asked to stop.
    """
    return _Search(view, cluster_size, offset).find(progress or Silent())


class _Types:
    """A map by type while it is being made.

    Attributes:
        sort: what the numbers of the map stand for.
        told: what they tell, in one word.

    Args:
        view: the bytes.
        cluster_size: guest bytes of a cluster.
    """

    sort: type[Kind] = Mapped
    told = "type"
    _elsewhere = False

    def __init__(self, view: View, cluster_size: int) -> None:
        self.view = view
        self._cluster_size = cluster_size
        clusters = -(-view.size // cluster_size)
        self._shift = max(0, (clusters - 1).bit_length() - clustermap.MOST.bit_length() + 1)
        self._kinds = Nibbles(-(-clusters >> self._shift))
        self._known: dict[ClusterType, int] = {}

    def make(self, progress: Progress) -> ClusterMap:
        """The whole map."""
        for part in self._tables(progress):
            for extent in extents_of(self.view, part, progress):
                if extent.guest.size:
                    self._extent(extent)
        unit = self._cluster_size << self._shift
        return ClusterMap(self._kinds, unit, 1 << self._shift, self.view.size, self.sort, self.told, is_guest=True)

    # -- extents ----------------------------------------------------------------------------------------------

    def _extent(self, extent: Extent) -> None:
        """Put one extent on the map."""
        self._fill(extent, self._of_extent(extent) or 0)

    def _fill(self, extent: Extent, value: int) -> None:
        """Put one extent on the map all of which is the same; the worst counts where several meet."""
        import numpy as np

        first, last = extent.guest.start // self._cluster_size, (extent.guest.end - 1) // self._cluster_size
        for low, high in pieces(first >> self._shift, (last >> self._shift) + 1) if value else ():
            self._kinds.raise_to(low, np.full(high - low, value, dtype=np.uint8))

    def _of_extent(self, extent: Extent) -> int | None:
        """What an extent is, the worst that is known of it; None if its clusters need not be the same."""
        if extent.error is not None:
            return Mapped.UNREADABLE
        if extent.past_end or extent.absent:
            return Mapped.MISSING
        kind = _KINDS.get(extent.kind, Mapped.UNREADABLE)
        return Mapped.BACKING if extent.layer and kind in (Mapped.DATA, Mapped.COMPRESSED) else kind

    def _put(self, first: int, values: Kinds) -> None:
        """Put clusters on the map from ``first`` on; the worst counts where several meet."""
        import numpy as np

        low, stop = first >> self._shift, ((first + len(values) - 1) >> self._shift) + 1
        if self._shift:
            borders = np.maximum((np.arange(low, stop) << self._shift) - first, 0)
            values = np.maximum.reduceat(values, borders)
        self._kinds.raise_to(low, values)

    # -- columns ----------------------------------------------------------------------------------------------

    def _tables(self, progress: Progress) -> Iterator[GuestRange]:
        """Put all tables on the map in which nothing is odd; the parts of the disk that are left."""
        done, disk = 0, self.view
        columns = isinstance(disk, Disk) and not (disk.image.has_data_file or disk.image.geometry.extended_l2)
        if isinstance(disk, Disk) and columns and not self._elsewhere:
            for start, end in self._sound_tables(disk, progress):
                if start > done:
                    yield GuestRange(GuestOffset(done), GuestOffset(start))
                done = end
        if done < self.view.size:
            yield GuestRange(GuestOffset(done), GuestOffset(self.view.size))

    def _sound_tables(self, disk: Disk, progress: Progress) -> Iterator[tuple[int, int]]:
        """Guest ranges of the tables that were put on the map."""
        import numpy as np

        from qcow2inspect.format.mapping import L1Entry
        from qcow2inspect.image.holes import in_holes

        span, image = disk.image.geometry.l2_span, disk.image
        count = min(len(disk.mapping.l1), -(-disk.size // span), max(0, image.end - disk.mapping.l1.at) // 8)
        for low in range(0, count, _CHUNK):
            column = disk.mapping.l1.column(low, min(low + _CHUNK, count))
            offsets = column & np.uint64(L1Entry.l2_table_offset.mask)
            aligned = offsets & np.uint64(self._cluster_size - 1) == 0
            used = np.flatnonzero((offsets != 0) & aligned & (offsets < np.uint64(image.end)))
            for index in used[~in_holes(image, offsets[used])].tolist():
                progress.advance(0)
                if self._table(disk, low + index, int(offsets[index])):
                    yield (low + index) * span, min((low + index + 1) * span, disk.size)

    def _table(self, disk: Disk, index: int, offset: int) -> bool:
        """Put one table on the map; False if something in it is odd."""
        import numpy as np

        from qcow2inspect.format.mapping import L2Entry, classify_column

        first = index * disk.image.geometry.l2_entries
        stop = min(first + disk.image.geometry.l2_entries, -(-disk.size // self._cluster_size))
        try:
            data = disk.image.read(HostOffset(offset), self._cluster_size)  # not kept: there may be thousands
        except Qcow2InspectError:
            return False
        raw = np.frombuffer(data, dtype=">u8")[: stop - first].astype(np.uint64)
        types = classify_column(raw)
        hosts = raw & np.uint64(L2Entry.host_cluster_offset.mask)
        stored = (types == ClusterType.NORMAL) | (types == ClusterType.ZERO_ALLOC)
        largest = np.uint64(max(0, disk.image.source.size - self._cluster_size))
        odd = stored & ((hosts > largest) | (hosts & np.uint64(self._cluster_size - 1) != 0))
        if odd.any() or (disk.support.backing is not None and (types == ClusterType.UNALLOCATED).any()):
            return False
        self._put(first, self._of_entries(first, types, raw))
        return True

    def _of_entries(self, first: int, types: Kinds, raw: npt.NDArray[np.uint64]) -> Kinds:
        """What sound entries are, whose type says all; one of each type is asked for."""
        import numpy as np

        del raw
        values = np.zeros(len(ClusterType), dtype=np.uint8)
        for number in np.flatnonzero(np.bincount(types, minlength=len(ClusterType))).tolist():
            kind = ClusterType(number)
            if kind not in self._known:
                guest = (first + int(np.argmax(types == number))) * self._cluster_size
                self._known[kind] = self._of_extent(self.view.lookup(GuestOffset(guest))) or 0
            values[number] = self._known[kind]
        return values[types]


class _Counted(_Types):
    """A map by what the map of the image file tells of each host cluster, while it is being made.

    Args:
        view: the bytes.
        cluster_size: guest bytes of a cluster.
        counted: the map of the image file.
        elsewhere: the clusters lie in another file.
    """

    def __init__(self, view: View, cluster_size: int, counted: ClusterMap, *, elsewhere: bool) -> None:
        import numpy as np

        super().__init__(view, cluster_size)
        self.sort, told = _TOLD[counted.kinds]
        self.told = counted.told
        self._counted = counted
        self._elsewhere = elsewhere
        self._values = np.full(len(counted.kinds), _UNTOLD, dtype=np.uint8)
        for kind, value in told.items():
            self._values[kind] = value

    def _extent(self, extent: Extent) -> None:
        """Put one extent on the map."""
        import numpy as np

        value = self._of_extent(extent)
        if value is not None or extent.host is None:
            self._fill(extent, value or 0)
            return
        ahead = (extent.host.start - extent.guest.start) // self._cluster_size
        first, last = extent.guest.start // self._cluster_size, (extent.guest.end - 1) // self._cluster_size
        for low, high in pieces(first, last + 1):
            self._put(low, self._of_clusters(np.arange(low, high, dtype=np.int64) + ahead))

    def _of_extent(self, extent: Extent) -> int | None:
        """What is told of the host clusters of an extent, if it is the same of all."""
        import numpy as np

        if extent.host is None:
            return _UNTOLD if extent.error is not None or extent.absent or extent.past_end else _UNSTORED
        if extent.layer or self._elsewhere:
            return _ELSEWHERE
        if extent.kind is ClusterType.COMPRESSED:
            return int(self._of_streams(np.array([extent.host.start]), np.array([extent.host.end - 1]))[0])
        if extent.past_end or (extent.host.start - extent.guest.start) % self._cluster_size:
            return _UNTOLD
        return None

    def _of_clusters(self, clusters: Ints) -> Kinds:
        """What is told of host clusters; nothing of those past the end of the file."""
        import numpy as np

        units = clusters // self._counted.clusters
        inside = units < len(self._counted)
        values = self._values[self._counted.owners.at(np.where(inside, units, 0))]
        values[~inside] = _UNTOLD
        return values

    def _of_streams(self, first: Ints, last: Ints) -> Kinds:
        """What is worst of the host clusters that hold streams; each reaches into three at most."""
        import numpy as np

        low, high = first // self._cluster_size, last // self._cluster_size
        values = self._of_clusters(low)
        for step in (1, 2):
            np.maximum(values, self._of_clusters(np.minimum(low + step, high)), out=values)
        return values

    def _of_entries(self, first: int, types: Kinds, raw: npt.NDArray[np.uint64]) -> Kinds:
        """The same of sound entries."""
        import numpy as np

        from qcow2inspect.format.mapping import L2Entry
        from qcow2inspect.survey.walk import stream_places

        values = super()._of_entries(first, types, raw)
        stored = (types == ClusterType.NORMAL) | (types == ClusterType.ZERO_ALLOC)
        hosts = (raw[stored] & np.uint64(L2Entry.host_cluster_offset.mask)).astype(np.int64)
        values[stored] = self._of_clusters(hosts // self._cluster_size)
        packed = types == ClusterType.COMPRESSED
        if packed.any():
            start, size = stream_places(raw[packed], self._cluster_size.bit_length() - 1)
            values[packed] = self._of_streams(start, start + size - 1)
        return values


class _Search(_Types):
    """Looks for what lies at a host offset as a map is made.

    Args:
        view: the bytes.
        cluster_size: guest bytes of a cluster.
        offset: the host offset.
    """

    def __init__(self, view: View, cluster_size: int, offset: HostOffset) -> None:
        super().__init__(view, cluster_size)
        self._offset = offset
        self._found: list[int] = []

    def find(self, progress: Progress) -> int | None:
        """The first guest byte there."""
        for part in self._tables(progress):
            for extent in extents_of(self.view, part, progress):
                self._extent(extent)
            if self._inside():
                break  # a table is looked at before what lies ahead of it, and nothing after that
        return min(self._inside(), default=None)

    def _inside(self) -> list[int]:
        """What was found on the disk; its last cluster may end behind it."""
        return [at for at in self._found if at < self.view.size]

    def _extent(self, extent: Extent) -> None:
        """Look whether the byte is one of an extent; one of a stream has no place of its own."""
        if extent.layer == 0 and extent.host is not None and self._offset in extent.host:
            inside = 0 if extent.kind is ClusterType.COMPRESSED else self._offset - extent.host.start
            self._found.append(extent.guest.start + inside)

    def _of_entries(self, first: int, types: Kinds, raw: npt.NDArray[np.uint64]) -> Kinds:
        """The same of sound entries."""
        import numpy as np

        from qcow2inspect.format.mapping import L2Entry
        from qcow2inspect.survey.walk import stream_places

        inside = self._offset % self._cluster_size
        hosts = raw & np.uint64(L2Entry.host_cluster_offset.mask)
        stored = (types == ClusterType.NORMAL) | (types == ClusterType.ZERO_ALLOC)
        places = np.flatnonzero(stored & (hosts == np.uint64(self._offset - inside)))[:1]
        self._found += [(first + place) * self._cluster_size + inside for place in places.tolist()]
        packed = np.flatnonzero(types == ClusterType.COMPRESSED)
        if len(packed):
            start, size = stream_places(raw[packed], self._cluster_size.bit_length() - 1)
            places = packed[(start <= self._offset) & (self._offset < start + size)][:1]
            self._found += [(first + place) * self._cluster_size for place in places.tolist()]
        return np.zeros(len(types), dtype=np.uint8)
