"""What can be read and is doubtful all the same: bytes that two guest places claim, or that belong to a table.

Sound images have none of it. Such ranges come out as they are stored, and are listed, whatever the policy: nothing says
so when they are read.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right
from collections import deque
from dataclasses import replace
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from qcow2inspect.errors import CannotRead, Qcow2InspectError
from qcow2inspect.export.load import Trouble
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.mapping import ClusterType, L1Entry
from qcow2inspect.image.guest import GuestDisk
from qcow2inspect.image.windows import coarse_extents
from qcow2inspect.progress import Cancelled, Silent
from qcow2inspect.units import GuestOffset, GuestRange, HostRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.image.disk import Disk
    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.progress import Progress
    from qcow2inspect.survey.columns import Ints
    from qcow2inspect.survey.survey import Survey

__all__ = ["DoubtSearch", "doubts_seen", "find_doubts", "survey_of", "with_doubts"]

_MOST = 1 << 16
_PATIENCE = 0.05
_TWICE = "another guest range lies in the same place of the image file: one of the two is wrong"
_META = "a table of the image lies in the same place of the image file"
_CUT = "the image file ends inside the cluster that holds these bytes"
_GUESS = "where these bytes belong on the disk is an assumption"


def find_doubts(
    view: View, extents: Iterable[Extent], *, survey: Survey | None = None, progress: Progress | None = None
) -> list[Trouble]:
    """The doubtful ranges of a view, in order, not overlapping.

    Args:
        view: gave the extents.
        extents: all of them: what speaks against one range may lie far from it.
        survey: what is known about the tables of the image; without it they are believed.
        progress: may ask to stop while the files behind the image are looked at.

    Raises:
        Cancelled: the user asked to stop.
    """
    found = [Trouble(guess, None, 0, "doubtful", _GUESS, "as stored") for guess in view.assumed.doubts]
    runs = _Runs()
    streams = _Runs()
    behind: list[Extent] = []
    for extent in extents:
        if extent.layer:
            behind.append(extent)
        if extent.error is not None or extent.past_end:
            continue
        if extent.kind is ClusterType.COMPRESSED:
            found += _cut_off(view, extent)
            if not extent.layer:
                streams.add(extent)
        elif extent.kind is ClusterType.NORMAL and not extent.layer:
            runs.add(extent)
    found += streams.equal()
    found += runs.shared(_unit(view))
    found += runs.inside(_tables(view, survey))
    found += _astray(view, survey)
    found += _behind(view, behind, progress or Silent())
    return _apart(found)


class DoubtSearch:
    """Looks for doubts in a thread of its own: what is copied by the kernel leaves it the time.

    Args:
        view: what is exported, whole.
        extents: gives all extents of it; what it is given may ask to stop.
    """

    def __init__(self, view: View, extents: Callable[[Progress], Iterable[Extent]]) -> None:
        self._found: list[Trouble] = []
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(view, extents), name="doubts", daemon=True)
        self._thread.start()

    def result(self, progress: Progress) -> list[Trouble]:
        """The doubts, as :func:`find_doubts` gives them.

        Raises:
            Cancelled: the user asked to stop.
        """
        progress.begin("Looking for contradictions", None)
        while self._thread.is_alive():
            progress.advance(0)
            self._thread.join(_PATIENCE)
        if self._error is not None:
            raise self._error
        return self._found

    def close(self) -> None:
        """End the thread, whatever is still to be done."""
        self._stop.set()
        self._thread.join()

    def begin(self, what: str, total: int | None) -> None:
        """Nobody watches; see :class:`~qcow2inspect.progress.Progress`."""

    def advance(self, amount: int) -> None:
        """Stop if nobody waits any more."""
        if self._stop.is_set():
            raise Cancelled

    def _run(self, view: View, extents: Callable[[Progress], Iterable[Extent]]) -> None:
        try:
            self._found = find_doubts(view, extents(self), survey=survey_of(view, self), progress=self)
        except Cancelled:
            return
        except BaseException as error:
            self._error = error


def doubts_seen(view: View, within: GuestRange, doubts: Iterable[Trouble]) -> Iterator[Trouble]:
    """What an export of a part of a view sees of the doubts.

    Args:
        view: what is exported.
        within: which part.
        doubts: those of the whole disk, in order.
    """
    from qcow2inspect.export.mapped import MappedView

    for doubt in doubts:
        for part, place in view.parts_of(doubt.guest) if isinstance(view, MappedView) else ((doubt.guest,) * 2,):
            inside = part.clip(int(within.start), int(within.end))
            if inside:
                start = GuestOffset(place.start + (inside.start - part.start))
                yield replace(_of(doubt, GuestRange.at(start, inside.size)), guest=inside)


def survey_of(view: View, progress: Progress) -> Survey | None:
    """What is known about the tables that lead to a view; None if they are not all to be read, or there are none.

    Raises:
        Cancelled: the user asked to stop.
    """
    from qcow2inspect.survey.survey import take_survey

    disk = _disk_of(view)
    try:
        return take_survey(disk.image, progress) if disk is not None else None
    except CannotRead:
        return None


def _behind(view: View, extents: list[Extent], progress: Progress) -> Iterator[Trouble]:
    """The doubts about the files behind the image, where nothing before them hides what they hold.

    Args:
        view: the disk.
        extents: those that another file than the image gives, in order.
        progress: may ask to stop.
    """
    from qcow2inspect.image.disk import Disk

    layer, below = 0, view
    while isinstance(below, Disk) and isinstance(below.support.backing, Disk):
        layer, below = layer + 1, below.support.backing
        alone = Disk(below.image, below.mapping, replace(below.support, backing=None), lenient=True)
        every = coarse_extents(alone, GuestRange.at(0, alone.size), progress)
        doubts = find_doubts(alone, every, survey=survey_of(alone, progress))
        shown = [extent.guest for extent in extents if extent.layer >= layer] if doubts else []
        for doubt in doubts:
            first = bisect_right(shown, int(doubt.guest.start), key=lambda part: int(part.end))
            for part in takewhile(doubt.guest.overlaps, islice(shown, first, None)):
                yield replace(_of(doubt, doubt.guest.clip(int(part.start), int(part.end))), layer=layer)


def _astray(view: View, survey: Survey | None) -> Iterator[Trouble]:
    """The parts of a view whose L2 table cannot be believed."""
    from qcow2inspect.export.astray import astray

    disk = _disk_of(view)
    for span, why in astray(survey, disk) if survey is not None and disk is not None else ():
        yield Trouble(span, None, 0, "doubtful", why, "as stored")


def with_doubts(troubles: Iterable[Trouble], doubts: list[Trouble]) -> Iterator[Trouble]:
    """Both in order; where they meet, a trouble counts and the doubt does not."""
    waiting = deque(doubts)
    for trouble in troubles:
        while waiting and waiting[0].guest.start < trouble.guest.end:
            doubt = waiting.popleft()
            before = doubt.guest.clip(0, int(trouble.guest.start))
            behind = doubt.guest.clip(int(trouble.guest.end), int(doubt.guest.end))
            if before:
                yield _of(doubt, before)
            if behind:
                waiting.appendleft(_of(doubt, behind))
                break
        yield trouble
    yield from waiting


def _of(doubt: Trouble, guest: GuestRange) -> Trouble:
    host = doubt.host
    if host is not None:
        host = HostRange.at(host.start + (guest.start - doubt.guest.start), guest.size)
    return Trouble(guest, host, doubt.layer, doubt.kind, doubt.reason, doubt.written)


def _apart(found: list[Trouble]) -> list[Trouble]:
    """In order; where some overlap the first counts; of very many neighbours are joined, and the rest becomes one."""
    ordered = sorted(found, key=lambda doubt: (int(doubt.guest.start), -doubt.guest.size))
    kept: list[Trouble] = []
    end = 0
    for doubt in ordered:
        part = doubt.guest.clip(end, int(doubt.guest.end))
        if not part:
            continue
        end = int(part.end)
        if len(ordered) > _MOST and kept and kept[-1].guest.end == part.start and kept[-1].reason == doubt.reason:
            kept[-1] = replace(kept[-1], guest=GuestRange(kept[-1].guest.start, part.end), host=None)
        elif len(kept) < _MOST:
            kept.append(_of(doubt, part))
        else:
            kept[-1] = Trouble(
                GuestRange(kept[-1].guest.start, part.end), None, 0, "doubtful", doubt.reason, "as stored"
            )
    return kept


def _cut_off(view: View, extent: Extent) -> Iterator[Trouble]:
    """A compressed cluster whose stream the end of the file cuts by more than any writer leaves out."""
    files = view.files_of(extent.layer) if isinstance(view, GuestDisk) else None
    if files is not None and extent.host_end - files.image.size >= SECTOR:
        where = extent.host if extent.size <= files.cluster_size else None  # several streams lie anywhere
        yield Trouble(extent.guest, where, extent.layer, "doubtful", _CUT, "as stored")


class _Runs:
    """Guest ranges and the host bytes they lie in."""

    def __init__(self) -> None:
        self._guest, self._host, self._size = array("q"), array("q"), array("q")

    def add(self, extent: Extent) -> None:
        self._guest.append(extent.start)
        self._host.append(extent.host_start)
        self._size.append(extent.end - extent.start)

    def _columns(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        import numpy as np

        guest, start, size = (np.frombuffer(column, dtype=np.int64) for column in (self._guest, self._host, self._size))
        order = np.argsort(start, kind="stable")
        return guest[order], start[order], size[order]

    def equal(self) -> Iterator[Trouble]:
        """The ranges that start where another one starts; streams lie close, so their ends do not count."""
        import numpy as np

        if not self._guest:
            return
        guest, start, size = self._columns()
        twice = np.concatenate(([False], start[1:] == start[:-1], [False]))
        chosen = np.flatnonzero(twice[1:] | twice[:-1])
        if len(chosen) > _MOST:
            yield from _many(guest[chosen], size[chosen])
            return
        for index in chosen.tolist():
            part = GuestRange.at(int(guest[index]), int(size[index]))
            yield Trouble(part, None, 0, "doubtful", _TWICE, "as stored")

    def shared(self, unit: int) -> Iterator[Trouble]:
        """The parts of ranges that lie where another one lies too.

        Args:
            unit: bytes that belong to one place only, though it may use a part of them.
        """
        import numpy as np

        if not self._guest:
            return
        guest, start, size = self._columns()
        low, high = _covered_twice(*_claims(guest - start, start // unit, (start + size - 1) // unit + 1))
        low, high = low * unit, high * unit
        first, last = np.searchsorted(high, start, side="right"), np.searchsorted(low, start + size)
        chosen = np.flatnonzero(first < last)
        if len(chosen) > _MOST:
            piece = first[chosen]
            whole = (low[piece] <= start[chosen]) & (high[piece] >= start[chosen] + size[chosen])
            yield from _many(guest[chosen[whole]], size[chosen[whole]])
            chosen = chosen[~whole]
        for index in chosen.tolist():
            at, end = int(start[index]), int(start[index] + size[index])
            for part in range(int(first[index]), int(last[index])):
                yield _doubt(int(guest[index]), at, max(at, int(low[part])), min(end, int(high[part])), _TWICE)

    def inside(self, tables: list[HostRange]) -> Iterator[Trouble]:
        """The parts of ranges that lie in tables."""
        import numpy as np

        if not self._guest or not tables:
            return
        guest, start, size = self._columns()
        longest = int(size.max())
        for table in tables:
            low = int(np.searchsorted(start, int(table.start) - longest))
            high = int(np.searchsorted(start, int(table.end)))
            for index in range(low, high):
                part = HostRange.at(int(start[index]), int(size[index])).clip(int(table.start), int(table.end))
                if part:
                    yield _doubt(int(guest[index]), int(start[index]), int(part.start), int(part.end), _META)


def _claims(place: Ints, start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """What ranges claim: those that overlap and belong to one place are one claim.

    Args:
        place: what tells the places apart.
        start: where the ranges start, in order.
        end: where they end, in order for those of one place.
    """
    import numpy as np

    order = np.argsort(place, kind="stable")
    place, start, end = place[order], start[order], end[order]
    anew = np.flatnonzero(np.concatenate(([True], (place[1:] != place[:-1]) | (start[1:] >= end[:-1]))))
    return start[anew], np.maximum.reduceat(end, anew)


def _many(guest: Ints, size: Ints) -> Iterator[Trouble]:
    """Doubts about very many ranges that share their places: neighbours are joined, and the rest becomes one."""
    import numpy as np

    if not len(guest):
        return
    order = np.argsort(guest)
    start = guest[order]
    end = start + size[order]
    fresh = np.flatnonzero(start[1:] != end[:-1]) + 1
    starts, ends = start[np.concatenate(([0], fresh))][:_MOST], end[np.concatenate((fresh - 1, [-1]))]
    for low, high in zip(starts.tolist(), [*ends[: len(starts) - 1].tolist(), int(ends[-1])], strict=True):
        yield Trouble(GuestRange.at(low, high - low), None, 0, "doubtful", _TWICE, "as stored")


def _covered_twice(start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Where ranges lie that two or more of some ranges cover: their starts and their ends, in order, apart."""
    import numpy as np

    places = np.concatenate((start, end))
    order = np.argsort(places, kind="stable")
    depth = np.cumsum(np.where(order < len(start), 1, -1))
    places = places[order]
    last = np.concatenate((places[1:] != places[:-1], [True]))  # what starts and ends at one place counts together
    places, twice = places[last], depth[last] >= 2
    edges = np.flatnonzero(twice != np.concatenate(([False], twice[:-1])))
    return places[edges[::2]], places[edges[1::2]]


def _doubt(guest: int, host: int, low: int, high: int, reason: str) -> Trouble:
    """The doubt about host bytes ``[low, high)`` of a range that starts at ``guest`` and ``host``."""
    return Trouble(
        GuestRange.at(guest + low - host, high - low), HostRange.at(low, high - low), 0, "doubtful", reason, "as stored"
    )


def _unit(view: View) -> int:
    """Host bytes that belong to one guest place only: a whole cluster where subclusters are mapped, else each byte."""
    disk = _disk_of(view)
    return disk.image.geometry.cluster_size if disk is not None and disk.image.geometry.extended_l2 else 1


def _disk_of(view: View) -> Disk | None:
    """The disk of an image that a view shows; None if it shows something else."""
    from qcow2inspect.image.disk import Disk

    return view if isinstance(view, Disk) else None


def _tables(view: View, survey: Survey | None) -> list[HostRange]:
    """Where the tables of the image lie, as far as they can be read."""
    from qcow2inspect.export.astray import metadata_ranges

    disk = _disk_of(view)
    if disk is None or disk.image.has_data_file:
        return []
    image = disk.image
    size = image.geometry.cluster_size
    l1 = image.l1.range
    found = [HostRange.at(0, size), HostRange.at(l1.start, -(-l1.size // size) * size)]
    try:
        found += [HostRange.at(at, size) for at in _targets(disk)]
    except Qcow2InspectError:
        return found
    return found + (metadata_ranges(survey) if survey is not None else [])


def _targets(view: Disk) -> list[int]:
    """Host offsets of L2 tables."""
    import numpy as np

    from qcow2inspect.survey.columns import distinct

    column = view.mapping.l1.column() & np.uint64(L1Entry.l2_table_offset.mask)
    used = column[(column != 0) & (column < np.uint64(view.image.end))]
    return [int(at) for at in distinct(used)[:_MOST].tolist()]
