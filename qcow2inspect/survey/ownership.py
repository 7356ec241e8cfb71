"""What every host byte is: no byte of the file is without an answer, and the share that has a good one is counted.

A byte is explained if a structure or a guest says what it is for, or if the refcounts say that it is free. What is
left is what an examiner wants to look at: clusters that are counted as used though nothing leads to them, slack of
metadata that is not zero, tables that hold something else than entries, clusters whose refcount cannot be read.
"""

from __future__ import annotations

import heapq
import threading
from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

from qcow2inspect.progress import Silent
from qcow2inspect.survey.claims import Owner as Claimant
from qcow2inspect.survey.referrers import find_referrers
from qcow2inspect.survey.slack import Slack, find_slack
from qcow2inspect.survey.tables import table_offsets
from qcow2inspect.survey.walk import read_batches
from qcow2inspect.units import GuestRange, HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.image.image import Image
    from qcow2inspect.image.mapping import Mapping
    from qcow2inspect.layout.node import Node
    from qcow2inspect.progress import Progress
    from qcow2inspect.survey.columns import Ints
    from qcow2inspect.survey.survey import Survey
    from qcow2inspect.survey.usage import Stretches, Usage

__all__ = ["ByteOwner", "Mapped", "Ownership", "Purpose"]

_NAMED_STATES = 8
_FIRST_WINDOW = 1 << 12


class Purpose(Enum):
    """Why a host byte is there."""

    STRUCTURE = "structure"
    DATA = "data"
    COMPRESSED = "compressed"
    SLACK = "slack"
    FREE = "free"
    LEAKED = "leaked"
    UNEXPLAINED = "unexplained"

    @property
    def explained(self) -> bool:
        """True if the image says what the byte is for, or that nothing needs it."""
        return self not in (Purpose.LEAKED, Purpose.UNEXPLAINED)


@dataclass(frozen=True, slots=True)
class ByteOwner:
    """What a host byte is.

    Attributes:
        purpose: why it is there.
        words: the same in a few words, with the states that use it.
        where: host bytes around it with the same answer.
    """

    purpose: Purpose
    words: str
    where: HostRange


@dataclass(frozen=True, slots=True)
class Mapped:
    """An L2 entry that leads to a host byte.

    Attributes:
        path: address of the entry.
        states: titles of the states that have it.
        guest: the guest cluster.
        where: host bytes of its data.
    """

    path: str
    states: tuple[str, ...]
    guest: GuestRange
    where: HostRange


class Ownership:
    """Knows what every host byte of an image is.

    Args:
        survey: a complete survey of the image.
        usage: its use of the host clusters.
    """

    def __init__(self, survey: Survey, usage: Usage) -> None:
        self._survey = survey
        self._usage = usage
        self._image: Image = survey.image
        self._bits = survey.image.geometry.cluster_bits
        self._found_spans: tuple[Ints, Ints] | None = None
        self._lock = threading.Lock()

    @classmethod
    def of(cls, survey: Survey) -> Ownership | None:
        """That of a survey; None if only the header was looked at."""
        return cls(survey, survey.usage) if survey.usage is not None else None

    # -- one byte ---------------------------------------------------------------------------------------------

    def at(self, offset: HostOffset, node: Node | None = None) -> ByteOwner:
        """What the byte at a host offset is; at once, without a look at the L2 tables.

        Args:
            offset: host offset in the file.
            node: the structure there, if the caller knows it.

        Raises:
            CannotRead: the image file cannot be read.
        """
        import numpy as np

        cluster = offset >> self._bits
        rows = self._usage.at(np.array([cluster], dtype=np.int64))
        whole = HostRange.at(cluster << self._bits, self._image.geometry.cluster_size).clip(0, self._image.end)
        purpose, words = self._unowned(cluster, rows)
        shared: list[str] = []
        if int(rows.metadata[0]):
            purpose, words, whole = self._structure(offset, cluster, node, whole)
        if int(rows.active[0]) or int(rows.snapshots[0]):
            shared.append(f"guest data{_by(int(rows.active[0]), int(rows.snapshots[0]))}")
            purpose = purpose if int(rows.metadata[0]) else Purpose.DATA
        if packed := int(rows.packed[0]):
            shared.append(f"compressed clusters, {packed:,} of them in this host cluster")
            purpose = purpose if int(rows.metadata[0]) or purpose is Purpose.DATA else Purpose.COMPRESSED
        if shared:
            words = " and ".join([words] * bool(int(rows.metadata[0])) + shared)
        return ByteOwner(purpose, words, whole)

    def _unowned(self, cluster: int, rows: Stretches) -> tuple[Purpose, str]:
        """A cluster that nothing claims."""
        import numpy as np

        one = np.ones(1, dtype=np.int64)
        if int(rows.phantom[0]):
            return Purpose.UNEXPLAINED, "claimed only by entries that no reader may use"
        if int(self._usage.refcounts.unreadable(one * cluster, one)[0]):
            return Purpose.UNEXPLAINED, "nothing leads here, and the refcount cannot be read"
        if count := int(rows.stored[0]):
            return Purpose.LEAKED, f"leaked: refcount {count:,}, and nothing leads here"
        return Purpose.FREE, "free: refcount 0, and nothing leads here"

    def _structure(
        self, offset: HostOffset, cluster: int, node: Node | None, whole: HostRange
    ) -> tuple[Purpose, str, HostRange]:
        claims = self._usage.metadata
        places = claims.of(cluster)
        words = dict.fromkeys(self._claimant(place) for place in places)
        name = " and ".join(words)
        for place in places:
            kind = self._survey.overwritten.get(int(claims.index[place]))
            if kind and claims.owner[place] in (Claimant.L2, Claimant.L2_SNAPSHOT):
                return Purpose.UNEXPLAINED, f"{name}; it holds no entries but what looks like {kind}", whole
        if content := _holding(self._slack.content, offset):
            return Purpose.UNEXPLAINED, f"not zero, in the slack of: {name}", content
        if slack := _holding(self._slack.ranges, offset):
            return Purpose.SLACK, f"slack of: {name}", slack
        if len(places) == 1 and node is not None and offset in node.where and node.path:
            return Purpose.STRUCTURE, name, node.where
        return Purpose.STRUCTURE, name, whole

    def _claimant(self, place: int) -> str:
        """One claim of metadata in words."""
        claims = self._usage.metadata
        owner, index = Claimant(int(claims.owner[place])), int(claims.index[place])
        if owner in (Claimant.L2, Claimant.L2_SNAPSHOT):
            tables = self._survey.tables
            at = int(tables.offsets[index]) if tables is not None else 0
            return f"L2 table of {_listed(self._leading_to(at))}"
        if owner is Claimant.L1_SNAPSHOT:
            return f"L1 table of {self._state(index).title}{_more(int(claims.weight[place]))}"
        if owner is Claimant.REFCOUNT_BLOCK:
            return f"refcount block {index:,}"
        if owner in (Claimant.BITMAP_TABLE, Claimant.BITMAP_DATA):
            return f"{owner.word} of bitmap {index:,}{_more(int(claims.weight[place]))}"
        return owner.word

    def _state(self, number: int) -> Mapping:
        return self._survey.states[number]

    def _leading_to(self, at: int) -> list[str]:
        """``L1[2]`` for each L1 entry that leads to the L2 table at a host offset, with its state."""
        import numpy as np

        found = []
        for column in self._survey.l1_columns:
            for first, raw in column.blocks():
                for index in np.flatnonzero(table_offsets(raw) == at)[:_NAMED_STATES].tolist():
                    found.append(f"{column.mapping.prefix}L1[{first + index}]{_more(column.times)}")
                    if len(found) > _NAMED_STATES:
                        return found
        return found

    # -- which guest bytes --------------------------------------------------------------------------------------

    def mapped(self, offset: HostOffset) -> list[Mapped]:
        """The L2 entries, at most four, whose data the byte at a host offset is part of.

        The first call reads all L2 tables; later ones read only those that may lead here.

        Raises:
            CannotRead: the image file cannot be read.
        """
        import numpy as np

        tables = self._survey.tables
        if tables is None:
            return []
        cluster = offset >> self._bits
        first, last = self._spans
        others = np.flatnonzero((cluster < first) | (cluster > last))
        clusters = np.array([cluster], dtype=np.int64)
        entries = find_referrers(self._image, tables, self._survey.states, clusters=clusters, skipped=others)
        found = []
        for entry in entries.get(cluster, ()):
            if entry.mapping is None or entry.l2_index is None:
                continue
            node = self._survey.tree.mapped(entry.mapping).l2_entry(entry.l1_index, entry.l2_index)
            data = node.children()[-1]
            if node.guest is not None and node.target is not None and offset in data.where:
                at = int(entry.mapping.l1[entry.l1_index].l2_table_offset)
                found.append(Mapped(node.path, tuple(self._leading_to(at)), node.guest, data.where))
        return found

    @property
    def _spans(self) -> tuple[Ints, Ints]:
        """The first and the last host cluster that each L2 table leads to; tables without any are left out."""
        with self._lock:
            if self._found_spans is None:
                self._found_spans = self._find_spans()
            return self._found_spans

    def _find_spans(self) -> tuple[Ints, Ints]:
        import numpy as np

        tables, bits = self._survey.tables, self._bits
        count = len(tables) if tables is not None else 0
        first, last = np.full(count, np.iinfo(np.int64).max), np.full(count, -1, dtype=np.int64)
        if tables is None:
            return first, last
        usable = np.flatnonzero(~tables.is_phantom & (tables.offsets < self._image.end))
        usable = np.setdiff1d(usable, np.array(sorted(self._survey.overwritten), dtype=np.int64))
        for _, batch in read_batches(self._image, tables.offsets, usable):
            used = np.flatnonzero(batch.stored | batch.compressed)
            at, table = batch.offset[used], batch.table[used]
            size = np.where(batch.compressed[used], batch.stream[used], batch.length[used] << bits)
            np.minimum.at(first, table, at >> bits)
            np.maximum.at(last, table, (at + np.maximum(size, 1) - 1) >> bits)
        return first, last

    # -- the whole file -----------------------------------------------------------------------------------------

    @cached_property
    def _slack(self) -> Slack:
        return find_slack(self._survey)

    @cached_property
    def _overwritten(self) -> list[HostRange]:
        tables = self._survey.tables
        offsets = tables.offsets[sorted(self._survey.overwritten)].tolist() if tables is not None else ()
        return [HostRange.at(at, self._image.geometry.cluster_size) for at in offsets if at < self._image.end]

    def unexplained(self, start: int = 0, end: int | None = None, progress: Progress | None = None) -> int:
        """How many bytes of ``[start, end)`` nothing explains.

        Raises:
            CannotRead: the image file cannot be read.
            Cancelled: the user asked to stop.
        """
        return sum(part.size for part in self.ranges(start, end, progress))

    def ranges(self, start: int = 0, end: int | None = None, progress: Progress | None = None) -> Iterator[HostRange]:
        """The ranges of ``[start, end)`` that nothing explains, ascending; neighbours may touch.

        Raises:
            CannotRead: the image file cannot be read.
            Cancelled: the user asked to stop.
        """
        end = int(self._image.end) if end is None else min(end, self._image.end)
        clusters = self._clusters(start >> self._bits, -(-end >> self._bits), progress or Silent())
        for part in heapq.merge(clusters, self._slack.content, self._overwritten, key=_start):
            if part.end > start and part.start < end:
                yield part.clip(start, end)

    def _clusters(self, start: int, stop: int, progress: Progress) -> Iterator[HostRange]:
        """The clusters of ``[start, stop)`` that nothing leads to and that are not known to be free."""
        import numpy as np

        refcounts, size = self._usage.refcounts, self._image.geometry.cluster_size
        some_broken = bool(refcounts.broken.any())
        for rows in self._usage.stretches_of(start, min(stop, self._usage.limit)):
            progress.advance(0)
            odd: npt.NDArray[np.bool_] = (rows.stored > 0) | (rows.phantom > 0)
            if some_broken:
                odd |= refcounts.unreadable(rows.start, rows.size) > 0
            for place in np.flatnonzero(odd & (rows.references == 0)).tolist():
                first, last = int(rows.start[place]), int(rows.end[place])
                yield HostRange.at(first * size, (last - first) * size).clip(0, self._image.end)

    def next_unexplained(self, offset: int, step: int, progress: Progress | None = None) -> HostRange | None:
        """The nearest range after (``step`` 1) or before (-1) ``offset`` that nothing explains.

        Raises:
            CannotRead: the image file cannot be read.
            Cancelled: the user asked to stop.
        """
        if step > 0:
            return next((part for part in self._joined(offset, None, progress) if part.start > offset), None)
        end, size = offset, _FIRST_WINDOW << self._bits
        while end > 0:
            start = max(0, end - size)
            found = list(self._joined(start, offset, progress))
            if found and (found[-1].start > start or not start):
                return found[-1]
            end, size = start, size * 2
        return None

    def next_border(self, offset: int, step: int) -> int | None:
        """Where other states begin to use the host clusters: the next place, or the start of this or the one before.

        Compressed clusters share a host cluster; which states they belong to is not told apart.
        """
        import numpy as np

        size = self._image.geometry.cluster_size
        here = (offset if step > 0 else max(0, offset - 1)) >> self._bits
        if step < 0 and not offset:
            return None
        wanted = _users(self._usage.at(np.array([here], dtype=np.int64)))[0]
        if step > 0:
            for rows in self._usage.stretches_of(here, self._usage.limit):
                other = np.flatnonzero(_users(rows) != wanted)
                if len(other):
                    return int(rows.start[other[0]]) * size
            return None
        stop, window = here, _FIRST_WINDOW
        while stop > 0:
            start, last = max(0, stop - window), None
            for rows in self._usage.stretches_of(start, stop):
                other = np.flatnonzero(_users(rows) != wanted)
                last = int(rows.end[other[-1]]) if len(other) else last
            if last is not None:
                return last * size
            stop, window = start, window * 2
        return 0

    def _joined(self, start: int, end: int | None, progress: Progress | None) -> Iterator[HostRange]:
        """Like :meth:`ranges`, with neighbours that touch as one."""
        last: HostRange | None = None
        for part in self.ranges(start, end, progress):
            if last is not None and part.start <= last.end:
                last = HostRange(last.start, max(last.end, part.end))
                continue
            if last is not None:
                yield last
            last = part
        if last is not None:
            yield last


def _start(part: HostRange) -> int:
    return part.start


def _users(rows: Stretches) -> npt.NDArray[np.int64]:
    """1 for guest data of the active state, 2 for that of snapshots, 4 for compressed clusters; sums of them."""
    import numpy as np

    found: npt.NDArray[np.int64] = (rows.active > 0).astype(np.int64) + 2 * (rows.snapshots > 0) + 4 * (rows.packed > 0)
    return found


def _by(active: int, snapshots: int) -> str:
    if active and snapshots:
        return " of the active state and of snapshots"
    return " of the active state" if active else " that only snapshots have"


def _more(times: int) -> str:
    return f" and {times - 1:,} more" if times > 1 else ""


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED_STATES])
    return shown + (" and more" if len(names) > _NAMED_STATES else "")


def _holding(ranges: list[HostRange], offset: HostOffset) -> HostRange | None:
    """The one of some ascending ranges that holds ``offset``."""
    place = bisect_right(ranges, int(offset), key=_start) - 1
    return ranges[place] if place >= 0 and offset in ranges[place] else None
