"""What can be read and is doubtful all the same: bytes that two guest places claim, or that belong to a table.

Sound images have none of it. Such ranges come out as they are stored, and are listed, whatever the policy: nothing says
so when they are read.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from qcow2inspect.errors import CannotRead, Qcow2InspectError
from qcow2inspect.export.load import Trouble
from qcow2inspect.export.places import Places, apart
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.mapping import ClusterType, L1Entry
from qcow2inspect.image.guest import GuestDisk
from qcow2inspect.image.view import NOWHERE
from qcow2inspect.image.windows import coarse_extents
from qcow2inspect.progress import Cancelled, Silent
from qcow2inspect.units import GuestOffset, GuestRange, HostRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from qcow2inspect.export.places import Doubt
    from qcow2inspect.image.disk import Disk
    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.progress import Progress
    from qcow2inspect.survey.columns import Ints
    from qcow2inspect.survey.survey import Survey

__all__ = ["DoubtSearch", "doubts_seen", "find_doubts", "survey_of", "with_doubts"]

_MOST = 1 << 16
_BATCH = 1 << 12
_PATIENCE = 0.05
_CUT = "the image file ends inside the cluster that holds these bytes"
_GUESS = "where these bytes belong on the disk is an assumption"


def find_doubts(
    view: View,
    extents: Callable[[], Iterable[Extent]] | None = None,
    *,
    survey: Survey | None = None,
    progress: Progress | None = None,
) -> list[Trouble]:
    """The doubtful ranges of a view, in order, not overlapping.

    Args:
        view: the disk.
        extents: gives all extents of it, in order, each time anew: what speaks against one range may lie far from it.
        survey: what is known about the tables of the image; without it they are believed.
        progress: may ask to stop.

    Raises:
        Cancelled: the user asked to stop.
    """
    progress = progress or Silent()
    extents = extents or partial(coarse_extents, view, GuestRange.at(0, view.size), progress)
    guesses = [Trouble(guess, None, 0, "doubtful", _GUESS, "as stored") for guess in view.assumed.doubts]
    astray = _few(_astray(view, survey))
    return _apart([*guesses, *_claimed(view, extents, survey), *astray, *_few(_below(view, extents, progress))])


def _claimed(view: View, extents: Callable[[], Iterable[Extent]], survey: Survey | None) -> list[Trouble]:
    """What lies where something else lies, and streams that the end of the file cuts."""
    cut: list[Trouble] = []
    places = Places(_unit(view), _end(view), _tables(view, survey))
    for batch in _batches(extents()):
        cut = _few(_cut_off(view, batch), cut)
        places.add(_own(batch))
    while places.wants():
        for batch in _batches(extents()):
            places.add(_own(batch))
    if places.is_clear:
        return cut
    doubts = (doubt for batch in _batches(extents()) for doubt in sorted(places.doubts(_own(batch)), key=_doubt_start))
    return [*cut, *_few(map(_as_trouble, doubts))]


def _batches(extents: Iterable[Extent]) -> Iterator[list[Extent]]:
    rest = iter(extents)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _own(extents: list[Extent]) -> list[Extent]:
    """Those of the image itself that can be read."""
    return [each for each in extents if not each.layer and each.error is None and not each.past_end]


def _few(doubts: Iterable[Trouble], kept: list[Trouble] | None = None) -> list[Trouble]:
    """Doubts in order, behind those that are kept; of very many neighbours are joined, and the rest becomes one."""
    kept = kept or []
    for doubt in doubts:
        if len(kept) == _MOST:
            kept = list(_neighbours_joined(kept))
        if len(kept) < _MOST:
            kept.append(doubt)
        else:
            kept[-1] = _wider(kept[-1], doubt)
    return kept


def _neighbours_joined(doubts: Iterable[Trouble]) -> Iterator[Trouble]:
    last: Trouble | None = None
    for doubt in doubts:
        if last is not None and last.guest.end >= doubt.guest.start and last.reason == doubt.reason:
            last = _wider(last, doubt)
            continue
        if last is not None:
            yield last
        last = doubt
    if last is not None:
        yield last


def _wider(doubt: Trouble, other: Trouble) -> Trouble:
    """A doubt about all from one to another, which comes later."""
    end = max(doubt.guest.end, other.guest.end)
    return replace(doubt, guest=GuestRange(doubt.guest.start, end), host=None)


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
            self._found = find_doubts(view, partial(extents, self), survey=survey_of(view, self), progress=self)
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


def _below(view: View, extents: Callable[[], Iterable[Extent]], progress: Progress) -> Iterator[Trouble]:
    """The doubts about the files behind the image, where nothing before them hides what they hold.

    Args:
        view: the disk.
        extents: gives its extents.
        progress: may ask to stop.
    """
    from qcow2inspect.image.disk import Disk

    layer, below = 0, view
    while isinstance(below, Disk) and isinstance(below.support.backing, Disk):
        layer, below = layer + 1, below.support.backing
        alone = Disk(below.image, below.mapping, replace(below.support, backing=None), lenient=True)
        doubts = find_doubts(alone, survey=survey_of(alone, progress), progress=progress)
        for doubt in _shown(doubts, extents(), layer) if doubts else ():
            yield replace(doubt, layer=layer)


def _shown(doubts: list[Trouble], extents: Iterable[Extent], layer: int) -> Iterator[Trouble]:
    """The parts of doubts that come from a layer, or from one behind it."""
    first = 0
    for extent in extents:
        if extent.layer < layer:
            continue
        while first < len(doubts) and doubts[first].guest.end <= extent.start:
            first += 1
        for doubt in takewhile(lambda each: each.guest.start < extent.end, islice(doubts, first, None)):  # noqa: B023
            yield _of(doubt, doubt.guest.clip(extent.start, extent.end))


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


def _cut_off(view: View, extents: list[Extent]) -> Iterator[Trouble]:
    """Compressed clusters whose streams the end of the file cuts by more than any writer leaves out."""
    if not isinstance(view, GuestDisk):
        return
    for extent in extents:
        if extent.kind is not ClusterType.COMPRESSED or extent.error is not None or extent.past_end:
            continue
        files = view.files_of(extent.layer)
        if files is not None and extent.host_end - files.image.size >= SECTOR:
            where = extent.host if extent.size <= files.cluster_size else None  # several streams lie anywhere
            yield Trouble(extent.guest, where, extent.layer, "doubtful", _CUT, "as stored")


def _doubt_start(doubt: Doubt) -> int:
    return doubt.start


def _as_trouble(doubt: Doubt) -> Trouble:
    guest = GuestRange.at(doubt.start, doubt.end - doubt.start)
    host = HostRange.at(doubt.host, guest.size) if doubt.host != NOWHERE else None
    return Trouble(guest, host, 0, "doubtful", doubt.reason, "as stored")


def _end(view: View) -> int:
    """Host offset of the end of the longest file that a view reads."""
    return max((source.size for source in view.sources), default=0)


def _unit(view: View) -> int:
    """Host bytes that belong to one guest place only, though it may map a part of them; version 1 goes by sectors."""
    disk = _disk_of(view)
    return disk.image.geometry.cluster_size if disk is not None else SECTOR


def _disk_of(view: View) -> Disk | None:
    """The disk of an image that a view shows; None if it shows something else."""
    from qcow2inspect.image.disk import Disk

    return view if isinstance(view, Disk) else None


def _tables(view: View, survey: Survey | None) -> tuple[Ints, Ints]:
    """Where the tables of the image lie, as far as they can be read: starts and ends, in order, apart."""
    import numpy as np

    from qcow2inspect.export.astray import metadata_ranges

    disk = _disk_of(view)
    if disk is None or disk.image.has_data_file:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    image = disk.image
    size = image.geometry.cluster_size
    starts = [np.array([0, int(image.l1.range.start)], dtype=np.int64)]
    ends = [np.array([size, int(image.l1.range.start) + -(-image.l1.range.size // size) * size], dtype=np.int64)]
    with suppress(Qcow2InspectError):
        targets = _targets(disk)
        starts.append(targets)
        ends.append(targets + size)
        low, high = metadata_ranges(survey) if survey is not None else (targets[:0], targets[:0])
        starts.append(low)
        ends.append(high)
    return apart(np.concatenate(starts), np.concatenate(ends))


def _targets(view: Disk) -> Ints:
    """Host offsets of L2 tables."""
    import numpy as np

    column = view.mapping.l1.column() & np.uint64(L1Entry.l2_table_offset.mask)
    used: Ints = column[(column != 0) & (column < np.uint64(view.image.end))].astype(np.int64)
    return used
