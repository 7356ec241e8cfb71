"""L1 entries whose L2 table is lost, and L2 tables that nothing points to: which belongs where."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.format.geometry import MAX_L1_ENTRIES
from qcow2inspect.format.mapping import L1Entry, L2Entry
from qcow2inspect.recover.orphans import orphans_of
from qcow2inspect.recover.tables import Looks, find_tables
from qcow2inspect.source.protocol import read_padded

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.progress import Progress
    from qcow2inspect.recover.draft import Draft

__all__ = ["last_mapped", "mend_l1"]

Words: TypeAlias = "npt.NDArray[np.uint64]"
Flags: TypeAlias = "npt.NDArray[np.bool_]"

_OFFSET = L1Entry.l2_table_offset.mask
_RESERVED = L1Entry.reserved_high.mask | L1Entry.reserved_low.mask
_L2_OFFSET = L2Entry.host_cluster_offset.mask
_COMPRESSED = L2Entry.compressed.mask
_COPIED = L1Entry.copied.mask
_ENOUGH = 8
_PORTION = 1 << 19
_MOST_LOST = 1 << 14
_MOST_COMPARED = 1 << 17
_MOST_USED = 1 << 16
_MOST_LAST = 1 << 14
_MOST_BAD = 1 << 10
_MOST_OF_SNAPSHOTS = 1 << 20
"""No more entries are looked at: an image with more lost ones is none that can be mended, or was made so on purpose."""


@dataclass
class _Slots:
    """The L1 table as it is.

    Attributes:
        good: L1 index -> host offset of the table.
        bad: L1 indices of used entries that lead to no table.
        empty: L1 indices of unused entries.
        hollow: L1 indices of entries whose table is all zero.
    """

    good: dict[int, int] = field(default_factory=dict)
    bad: list[int] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)
    hollow: list[int] = field(default_factory=list)


def mend_l1(draft: Draft, progress: Progress) -> None:
    """Put L2 tables that nothing points to into the L1 entries that lead to none.

    Raises:
        CannotRead: the file cannot be read.
        Cancelled: the user asked to stop.
    """
    slots = _sorted_out(draft)
    if slots.hollow and not orphans_of(draft, progress):
        slots.hollow.clear()  # a guest that discards everything leaves such tables behind
    older = _tables_of_snapshots(draft)
    lost = _lost_tables(draft, slots, older, progress)
    placed = _placed(draft, slots, older, lost)
    for index, (table, why) in placed.items():
        _set(draft, index, table | _COPIED, why)
    for index in slots.bad:
        if index not in placed:
            _settle(draft, index, older)
    for index in slots.empty if placed or slots.bad else ():
        if index not in placed and index in older:
            _set(draft, index, older[index][0], "the table of the last snapshot, where other entries are lost too")
    for index in slots.hollow:
        if index not in placed and index in older:
            _settle(draft, index, older)
        elif index not in placed:
            raw = draft.l1_word(index)
            _set(draft, index, raw, "its table is all zero, and clusters exist that nothing points to")


def last_mapped(draft: Draft) -> int:
    """One past the last guest byte that the tables map."""
    import numpy as np

    geometry = draft.geometry
    stride = 2 if geometry.extended_l2 else 1
    for index, at in islice(_tables_from_the_end(draft), _MOST_LAST):
        if draft.look(at).may_be_table:
            used = np.flatnonzero(draft.words(at, geometry.cluster_size // 8)[::stride])
            return int(geometry.guest_cluster(index, int(used[-1])).end) if len(used) else 0
    return 0


def _tables_from_the_end(draft: Draft) -> Iterator[tuple[int, int]]:
    """Index and table of every L1 entry that leads to a place where one can be, the last first."""
    import numpy as np

    for start, words in draft.l1_blocks(backwards=True):
        for index in np.flatnonzero(draft.leads_somewhere(words))[::-1].tolist():
            yield start + index, int(words[index]) & _OFFSET


def _set(draft: Draft, index: int, value: int, why: str) -> None:
    header = draft.header
    span = draft.geometry.guest_span(index)
    part = span.clip(0, int(header.size)) if 0 < header.size < 1 << 62 else span
    draft.set_entry(f"L1[{index}]", int(header.l1_table_offset) + 8 * index, value, why, doubt=part)


def _sorted_out(draft: Draft) -> _Slots:
    import numpy as np

    slots, used = _Slots(), list[tuple[int, int, bool]]()
    for start, words in draft.l1_blocks():
        slots.empty += (start + np.flatnonzero(words == 0)[: _MOST_USED - len(slots.empty)]).tolist()
        sound = draft.leads_somewhere(words) & (words & np.uint64(_RESERVED) == 0)
        here = np.flatnonzero(words)[: _MOST_USED - len(used)]
        used += zip((start + here).tolist(), words[here].tolist(), sound[here].tolist(), strict=True)
    seen = set[int]()
    for index, raw, is_sound in used:
        at = raw & _OFFSET
        looks = draft.look(at) if is_sound else Looks(bad=1)
        if looks.is_empty:
            if len(slots.hollow) < _MOST_BAD:
                slots.hollow.append(index)
        elif looks.may_be_table and at not in seen:
            seen.add(at)
            slots.good[index] = at
        elif len(slots.bad) < _MOST_BAD:
            slots.bad.append(index)
    return slots


def _tables_of_snapshots(draft: Draft) -> dict[int, list[int]]:
    """L1 index -> L2 tables of snapshots, as far as those can be read."""
    import numpy as np

    from qcow2inspect.image.image import Image

    found: dict[int, list[int]] = {}
    try:
        snapshots = Image(draft.source, draft.assumed).snapshots
    except Qcow2InspectError:
        return found
    places = dict.fromkeys((s.entry.l1_table_offset, s.entry.l1_size) for s in reversed(snapshots))
    left = _MOST_OF_SNAPSHOTS
    for at, size in places:
        if size > min(left, MAX_L1_ENTRIES) or at + 8 * size > draft.source.size:
            continue
        left -= size
        words = draft.words(at, size)
        for index in np.flatnonzero(draft.leads_somewhere(words))[:_MOST_USED].tolist():
            table = int(words[index]) & _OFFSET
            if table not in found.get(index, ()) and draft.look(table).may_be_table:
                found.setdefault(index, []).append(table)
    return found


def _targets(draft: Draft, table: int) -> Words:
    """Where the entries of a table lead: a host cluster, or the entry itself where that is compressed; 0 is nowhere."""
    import numpy as np

    stride = 2 if draft.geometry.extended_l2 else 1
    words = draft.words(table, draft.geometry.cluster_size // 8)[::stride]
    found: Words = np.where(words & np.uint64(_COMPRESSED) != 0, words, words & np.uint64(_L2_OFFSET))
    return found


def _places(draft: Draft, table: int) -> Words:
    """The places where the entries of a table lead, in order, each once."""
    import numpy as np

    found: Words = np.unique(_targets(draft, table))
    used: Words = found[found != 0]
    return used


def _lost_tables(draft: Draft, slots: _Slots, older: dict[int, list[int]], progress: Progress) -> list[int]:
    """Tables that nothing points to and whose clusters nobody else claims, in the order of the file."""
    import numpy as np

    candidates = find_tables(draft.source, draft.geometry, progress)
    header, size = draft.header, draft.geometry.cluster_size
    known = {*slots.good.values(), *(table for tables in older.values() for table in tables)}
    known |= {0, int(header.l1_table_offset) // size * size, int(header.refcount_table_offset) // size * size}
    free = candidates[~np.isin(candidates, np.array(sorted(known), dtype=np.uint64))][:_MOST_LOST]
    lost = []
    for at, targets in _unclaimed(draft, free, slots, progress):
        points_to_tables = int(_among(candidates, targets).sum()) * 2 > len(targets)
        if not points_to_tables and not _is_refcount_table(draft, targets):
            lost.append(at)
    tables, inside = np.array(lost, dtype=np.uint64), np.zeros(len(lost), dtype=np.bool_)
    for at in lost:
        _mark(inside, tables, _places(draft, at))
    return list(map(int, tables[~inside]))


def _unclaimed(draft: Draft, tables: Words, slots: _Slots, progress: Progress) -> Iterator[tuple[int, Words]]:
    """Those tables that no good table claims, nor more than half of their clusters; and where their entries lead.

    In portions, for the clusters of all of them may be more than memory holds.
    """
    import numpy as np

    portion = max(1, _PORTION // draft.geometry.l2_entries)
    for start in range(0, len(tables), portion):
        some = tables[start : start + portion]
        places = [_places(draft, at) for at in some.tolist()]
        wanted = np.unique(np.concatenate([some, *places]))
        claimed = np.zeros(len(wanted), dtype=np.bool_)
        for at in slots.good.values():
            progress.advance(0)
            _mark(claimed, wanted, _places(draft, at))
        taken = wanted[claimed]
        for at, is_claimed, own in zip(some.tolist(), _among(taken, some).tolist(), places, strict=True):
            if not is_claimed and int(_among(taken, own).sum()) * 2 <= len(own):
                yield at, own


def _mark(flags: Flags, known: Words, found: Words) -> None:
    """Raise the flags of those known numbers, which are in order, that are found."""
    import numpy as np

    flags[np.searchsorted(known, found[_among(known, found)])] = True


def _among(known: Words, asked: Words) -> Flags:
    """Which of some numbers are among the known ones, which are in order."""
    import numpy as np

    if not len(known):
        return np.zeros(len(asked), dtype=np.bool_)
    return np.asarray(known[np.minimum(np.searchsorted(known, asked), len(known) - 1)] == asked)


def _is_refcount_table(draft: Draft, targets: Words) -> bool:
    """True if what is pointed to counts itself: refcount blocks do."""
    size = draft.geometry.cluster_size
    sample = targets[:2].tolist()
    blocks = (read_padded(draft.source, at, min(size, 64)) for at in sample if at % size == 0)
    return all(
        block[:2] in (b"\0\1", b"\1\1", b"\0\0", b"\xff\xff") and len(set(block)) <= 3 and any(block)
        for block in blocks
    ) and bool(sample)


def _placed(draft: Draft, slots: _Slots, older: dict[int, list[int]], lost: list[int]) -> dict[int, tuple[int, str]]:
    """L1 index -> table that shall be there, and why."""
    free = sorted([*slots.bad, *slots.hollow, *slots.empty])
    placed, rest = _like_snapshots(draft, older, [index for index in free if index in older], lost)
    urgent = {*slots.bad, *slots.hollow}
    needy = [index for index in free if index in urgent and index not in placed]
    others = [index for index in free if index not in urgent and index not in placed]
    there = {**slots.good, **{index: table for index, (table, _) in placed.items()}}
    ahead = sorted(((at, index) for index, at in there.items()), reverse=True)
    before = -1
    for table in rest:
        while ahead and ahead[-1][0] < table:
            before = max(before, ahead.pop()[1])
        choice = needy or others
        if choice:
            place = bisect_right(choice, before)
            index = choice.pop(place if place < len(choice) else 0)
            placed[index] = (table, "an L2 table that nothing else points to; tables lie in the order of the disk")
            before = max(before, index)
    return placed


def _like_snapshots(
    draft: Draft, older: dict[int, list[int]], free: list[int], lost: list[int]
) -> tuple[dict[int, tuple[int, str]], list[int]]:
    """L1 index -> lost table that a snapshot has nearly the same of there, and why; and the rest of the tables."""
    placed: dict[int, tuple[int, str]] = {}
    rest, left = [], _MOST_COMPARED
    for table in lost:
        likely = [index for index in free if index not in placed] if left > 0 else []
        left -= sum(len(older[index]) for index in likely)
        found = _like_a_snapshot(draft, table, older, likely)
        if found is None:
            rest.append(table)
        else:
            placed[found] = (table, "a snapshot has nearly the same table there")
    return placed, rest


def _like_a_snapshot(draft: Draft, table: int, older: dict[int, list[int]], free: list[int]) -> int | None:
    mine = _targets(draft, table)
    used = mine != 0
    best, chosen = int(used.sum()) // 2, None
    for index in free:
        for other in older[index]:
            shared = int((used & (mine == _targets(draft, other))).sum())
            if shared > best:
                best, chosen = shared, index
    return chosen


def _settle(draft: Draft, index: int, older: dict[int, list[int]]) -> None:
    """What to make of an L1 entry whose table is nowhere: that of a snapshot, what is left of it, or nothing."""
    raw = draft.l1_word(index)
    at = raw & _OFFSET
    sound = at and draft.geometry.is_aligned(at) and at < draft.source.size
    looks = draft.look(at) if sound else Looks()
    if index in older and looks.good * 10 < draft.look(older[index][0]).good * 9:
        _set(draft, index, older[index][0], "the table of the last snapshot; what was written later is lost")
    elif looks.good >= _ENOUGH or looks.good > looks.bad:
        _set(draft, index, raw, "a part of its table is overwritten")
    else:
        _set(draft, index, 0, "its table is lost")
