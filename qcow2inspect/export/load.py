"""The bytes of extents, in threads: neighbouring streams by one read, and a policy for what cannot be read.

What comes out are pieces: guest offset and bytes. Between pieces lie zeros.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from qcow2inspect.errors import BadStream, CannotRead, Qcow2InspectError
from qcow2inspect.export.choices import OnError, Sparse
from qcow2inspect.export.stored import StoredRanges
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.progress import Cancelled
from qcow2inspect.source.protocol import read_padded
from qcow2inspect.units import GuestOffset, GuestRange, HostOffset, HostRange

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from qcow2inspect.image.guest import Files
    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.source.protocol import Source

__all__ = ["PATTERN", "Loaded", "Loader", "Piece", "Trouble"]

Piece = tuple[int, bytes]
"""Guest offset, and the bytes there."""

PATTERN = b"UNREADABLE IN THE EVIDENCE FILE\n"
"""32 bytes that stand in the place of what cannot be read, if the user says so."""

_LONGEST_READ = 4 << 20
_GAP = 64 << 10
_BLOCK = 4096
_PAST_END = "the image file ends before the bytes that should be here"
_ABSENT = "the bytes lie in a file that is not there"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Bytes that are not what the guest had there.

    Attributes:
        guest: which bytes of the view.
        host: where they should come from; None if that is not known.
        layer: which file of the chain, 0 for the image.
        kind: ``unreadable``, ``past-end``, ``absent``, or ``doubtful`` for bytes that could be read.
        reason: why, for a person.
        written: what stands there now: ``zeros``, ``pattern``, ``as stored``, or ``salvaged`` for what a broken stream
            gave, whose last bytes may be wrong.
        several: True for neighbours that share all but place and reason: host and reason are those of the first.
        others: of several, the first reason of every other kind, as far as there are few.
    """

    guest: GuestRange
    host: HostRange | None
    layer: int
    kind: str
    reason: str
    written: str
    several: bool = False
    others: tuple[str, ...] = ()


@dataclass(slots=True)
class Loaded:
    """What became of some extents.

    Attributes:
        pieces: the bytes, in order.
        troubles: what is not as the guest had it, in order.
        written: bytes that were written to the target.
    """

    pieces: list[Piece] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    written: int = 0


class Loader:
    """Reads extents of a view; safe to use from several threads.

    Args:
        view: gave the extents.
        on_error: what to do about what cannot be read.
        sparse: which zeros are left out of the pieces.
        stop: set when nobody wants the bytes any more.

    Attributes:
        stored: what the files store; the rest is holes.
    """

    def __init__(self, view: View, on_error: OnError, sparse: Sparse, stop: threading.Event) -> None:
        self._view = view
        self._on_error = on_error
        self._sparse = sparse
        self._stop = stop
        self._streams: dict[int, Files | None] = {}
        self.stored = StoredRanges()

    def load(self, extents: Sequence[Extent]) -> Loaded:
        """The bytes of extents that follow each other.

        Raises:
            CannotRead, Damaged, NeedsFile, NeedsKey: they cannot be read, and the policy is to fail.
            Cancelled: ``stop`` was set.
        """
        loaded = Loaded()
        for group in self._groups(extents):
            if len(group) > 1:
                self._inflate(group, loaded)
            else:
                self._load_one(group[0], loaded)
        return loaded

    def _groups(self, extents: Sequence[Extent]) -> Iterator[list[Extent]]:
        """Whole compressed clusters of one layer together, everything else alone."""
        group: list[Extent] = []
        for extent in extents:
            if group and (group[0].layer != extent.layer or not self._is_whole_stream(extent)):
                yield group
                group = []
            if self._is_whole_stream(extent):
                group.append(extent)
            else:
                yield [extent]
        if group:
            yield group

    def _is_whole_stream(self, extent: Extent) -> bool:
        if extent.kind is not ClusterType.COMPRESSED or extent.error is not None:
            return False
        streams = self._streams_of(extent.layer)
        return streams is not None and extent.size == streams.cluster_size and not _is_behind(extent, streams)

    # -- compressed clusters ----------------------------------------------------------------------------------

    def _streams_of(self, layer: int) -> Files | None:
        if layer not in self._streams:
            self._streams[layer] = _streams(self._view, layer)
        return self._streams[layer]

    def _inflate(self, extents: list[Extent], loaded: Loaded) -> None:
        """Inflate clusters that are stored near each other out of one read each."""
        streams = self._streams_of(extents[0].layer)
        assert streams is not None  # _groups has looked
        found: dict[int, bytes] = {}
        for batch in _neighbours(extents):
            self._inflate_batch(batch, streams, found)
        zeros = bytes(streams.cluster_size)
        for extent in extents:
            data = found.get(extent.start)
            if data is None:  # the slow way finds out what is wrong, and says it
                self._load_one(extent, loaded)
            elif data != zeros:
                self._keep(extent.start, data, loaded)

    def _inflate_batch(self, batch: list[Extent], streams: Files, found: dict[int, bytes]) -> None:
        start, end = min(extent.host_start for extent in batch), max(extent.host_end for extent in batch)
        try:
            data = memoryview(_read_all(streams.image, start, end))
        except CannotRead:
            return
        inflate, size = streams.codec.decompress, streams.cluster_size
        for extent in batch:
            self.stop_if_asked()
            try:
                found[extent.start] = inflate(data[extent.host_start - start : extent.host_end - start], size)
            except BadStream:
                continue

    # -- everything else --------------------------------------------------------------------------------------

    def _load_one(self, extent: Extent, loaded: Loaded) -> None:
        self.stop_if_asked()
        if extent.error is not None:
            self._give_up(extent, extent.error, loaded)
            return
        if extent.past_end or extent.absent:
            kind, reason = ("absent", _ABSENT) if extent.absent else ("past-end", _PAST_END)
            several = self._is_several(extent)
            loaded.troubles.append(Trouble(extent.guest, extent.host, extent.layer, kind, reason, "zeros", several))
        if extent.reads_as_zero or extent.past_end:
            return
        if extent.kind is ClusterType.COMPRESSED and _is_behind(extent, self._streams_of(extent.layer)):
            self._give_up(extent, _no_stream(extent), loaded)
            return
        try:
            for at, data in self._read(extent):
                self._keep(at, data, loaded)
        except CannotRead as error:
            self._load_in_halves(extent, error, loaded)
        except Qcow2InspectError as error:
            self._give_up(extent, error, loaded)

    def _read(self, extent: Extent) -> list[Piece]:
        source, streams = self._view.plain_source(extent), self._streams_of(extent.layer)
        if extent.kind is ClusterType.COMPRESSED and streams is not None:
            # a file that became shorter must not look like a broken stream
            _read_all(streams.image, extent.host_start, extent.host_end)
        if source is None:
            return [(extent.start, self._view.read_extent(extent))]
        shift = extent.start - extent.host_start
        parts = self.stored.within(source, extent.host_start, extent.host_end)
        return [(start + shift, _read_all(source, start, end)) for start, end in parts]

    def _load_in_halves(self, extent: Extent, error: CannotRead, loaded: Loaded) -> None:
        """Part the bytes that a failing medium still gives from those it does not, down to the sector."""
        size = extent.size
        if extent.kind is not ClusterType.NORMAL or size <= SECTOR:
            self._give_up(extent, error, loaded)
            return
        middle = extent.start + max(SECTOR, size // 2 // SECTOR * SECTOR)
        self._load_one(extent.cut(extent.start, middle), loaded)
        self._load_one(extent.cut(middle, extent.end), loaded)

    def _keep(self, at: int, data: bytes, loaded: Loaded) -> None:
        if self._sparse is Sparse.DETECT:
            loaded.pieces += _without_zeros(at, data)
        elif data:
            loaded.pieces.append((at, data))

    # -- what cannot be read ----------------------------------------------------------------------------------

    def _give_up(self, extent: Extent, error: Qcow2InspectError, loaded: Loaded) -> None:
        """Stop, or put something in the place of the extent and say so."""
        if self._on_error is OnError.FAIL:
            raise _named(extent, error)
        start, written = extent.guest.start, "zeros"
        if self._on_error is OnError.BEST and isinstance(error, BadStream):
            head = self._salvaged(extent)
            self._keep(int(start), head, loaded)
            start = GuestOffset(start + len(head))
            self._list(GuestRange(extent.guest.start, start), extent, error, "salvaged", loaded)
        rest = GuestRange(start, extent.guest.end)
        if self._on_error is OnError.PATTERN:
            written = "pattern"
            loaded.pieces.append((int(start), (PATTERN * (-(-rest.size // len(PATTERN))))[: rest.size]))
        self._list(rest, extent, error, written, loaded)

    def _list(self, guest: GuestRange, extent: Extent, error: Qcow2InspectError, written: str, loaded: Loaded) -> None:
        if guest:
            several = self._is_several(extent)
            trouble = Trouble(guest, extent.host, extent.layer, "unreadable", error.what, written, several)
            loaded.troubles.append(trouble)

    def _is_several(self, extent: Extent) -> bool:
        """True for clusters that lie in different places, of which only the first is named."""
        if extent.kind is not ClusterType.COMPRESSED:
            return extent.host is not None and extent.host.size < extent.size
        streams = self._streams_of(extent.layer)
        return streams is not None and extent.size > streams.cluster_size

    def _salvaged(self, extent: Extent) -> bytes:
        """What the stream of a broken compressed cluster gives before it breaks, from the start of the extent."""
        streams = self._streams_of(extent.layer)
        if streams is None or extent.host is None:
            return b""
        if _is_behind(extent, streams):
            return b""
        data = read_padded(streams.image, extent.host.start, extent.host.size)
        skipped = self._on_disk(extent.start) % streams.cluster_size
        return streams.codec.salvage(data, streams.cluster_size)[skipped : skipped + extent.size]

    def _on_disk(self, offset: int) -> int:
        """Where on the disk a byte of the view belongs."""
        from qcow2inspect.export.mapped import MappedView

        return int(self._view.disk_offset(offset)) if isinstance(self._view, MappedView) else offset

    def stop_if_asked(self) -> None:
        """Raise :class:`Cancelled` if nobody wants the bytes any more."""
        if self._stop.is_set():
            raise Cancelled


def _streams(view: View, layer: int) -> Files | None:
    """Where the streams of a layer lie; None if the view shows no guest disk."""
    from qcow2inspect.export.mapped import MappedView
    from qcow2inspect.image.guest import GuestDisk

    whole = view.whole if isinstance(view, MappedView) else view
    return whole.files_of(layer) if isinstance(whole, GuestDisk) else None


def _is_behind(extent: Extent, streams: Files | None) -> bool:
    """True if no byte of the stream of a compressed cluster is in the file; none begins with zeros."""
    return streams is not None and extent.host_start >= streams.image.size


def _no_stream(extent: Extent) -> BadStream:
    return BadStream(
        f"the image file ends before the compressed cluster at host {extent.host}",
        why="its bytes are lost unless another copy exists",
    )


def _neighbours(extents: list[Extent]) -> Iterator[list[Extent]]:
    """Compressed extents in the order of the file, together where one read serves them well."""
    batch: list[Extent] = []
    start = end = 0
    for extent in sorted(extents, key=attrgetter("host_start")):
        if batch and (extent.host_start > end + _GAP or extent.host_end > start + _LONGEST_READ):
            yield batch
            batch = []
        if not batch:
            start = end = extent.host_start
        batch.append(extent)
        end = max(end, extent.host_end)
    yield batch


def _read_all(source: Source, start: int, end: int) -> bytes:
    """The host bytes ``[start, end)``; what lies behind the end that the file had when it was opened reads as zeros."""
    data = source.read_at(start, end - start)
    if len(data) < min(end, source.size) - start:
        at = HostOffset(start + len(data))
        raise CannotRead(
            f"{source.name} became shorter while it was read: nothing is left at {at}",
            hint="work on a copy that nobody changes",
            exit_code=74,
        )
    return data.ljust(end - start, b"\0")


def _without_zeros(at: int, data: bytes) -> list[Piece]:
    """The runs of blocks that hold something other than zeros; blocks are those of the guest."""
    import numpy as np

    head = -at % _BLOCK
    borders = [0, *range(head or _BLOCK, len(data), _BLOCK), len(data)]
    filled: Any = np.logical_or.reduceat(np.frombuffer(data, dtype=np.uint8) != 0, borders[:-1]) if data else []
    pieces: list[Piece] = []
    first = None
    for index, one in enumerate([*filled, False]):
        if one and first is None:
            first = borders[index]
        elif not one and first is not None:
            pieces.append((at + first, data[first : borders[index]]))
            first = None
    return pieces


def _named(extent: Extent, error: Qcow2InspectError) -> Qcow2InspectError:
    """The error, with the guest range in front if it does not name it."""
    if error.what.startswith("guest "):
        return error
    where = f"guest {extent.guest}"
    if extent.host is not None:
        where += f" (host {extent.host})"
    return type(error)(f"{where}: {error.what}", why=error.why, hint=error.hint, exit_code=error.exit_code)
