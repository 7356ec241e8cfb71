"""L1 entries whose L2 table is lost, and L2 tables that nothing points to: which belongs where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.format.geometry import MAX_L1_ENTRIES
from qcow2inspect.format.mapping import L1Entry, L2Entry
from qcow2inspect.recover.orphans import orphans_of
from qcow2inspect.recover.tables import Looks, find_tables
from qcow2inspect.source.protocol import read_padded

if TYPE_CHECKING:
    from qcow2inspect.progress import Progress
    from qcow2inspect.recover.draft import Draft

__all__ = ["last_mapped", "mend_l1"]

_OFFSET = L1Entry.l2_table_offset.mask
_RESERVED = L1Entry.reserved_high.mask | L1Entry.reserved_low.mask
_L2_OFFSET = L2Entry.host_cluster_offset.mask
_COMPRESSED = L2Entry.compressed.mask
_COPIED = L1Entry.copied.mask
_ENOUGH = 8
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
    words = draft.l1_words()
    stride = 2 if geometry.extended_l2 else 1
    for index in np.flatnonzero(draft.leads_somewhere(words))[: -_MOST_LAST - 1 : -1].tolist():
        at = int(words[index]) & _OFFSET
        if draft.look(at).may_be_table:
            used = np.flatnonzero(draft.words(at, geometry.cluster_size // 8)[::stride])
            return int(geometry.guest_cluster(index, int(used[-1])).end) if len(used) else 0
    return 0


def _set(draft: Draft, index: int, value: int, why: str) -> None:
    header = draft.header
    span = draft.geometry.guest_span(index)
    part = span.clip(0, int(header.size)) if 0 < header.size < 1 << 62 else span
    draft.set_entry(f"L1[{index}]", int(header.l1_table_offset) + 8 * index, value, why, doubt=part)


def _sorted_out(draft: Draft) -> _Slots:
    import numpy as np

    words = draft.l1_words()
    slots, seen = _Slots(empty=np.flatnonzero(words == 0)[:_MOST_USED].tolist()), dict[int, int]()
    sound = draft.leads_somewhere(words) & (words & np.uint64(_RESERVED) == 0)
    for index in np.flatnonzero(words)[:_MOST_USED].tolist():
        at = int(words[index]) & _OFFSET
        looks = draft.look(at) if sound[index] else Looks(bad=1)
        if looks.is_empty:
            if len(slots.hollow) < _MOST_BAD:
                slots.hollow.append(index)
        elif looks.may_be_table and at not in seen:
            seen[at] = index
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


def _targets(draft: Draft, table: int) -> set[tuple[int, int]]:
    """Index and host cluster of every entry that leads somewhere."""
    import numpy as np

    stride = 2 if draft.geometry.extended_l2 else 1
    words = draft.words(table, draft.geometry.cluster_size // 8)[::stride]
    used = np.flatnonzero(words & np.uint64(_COMPRESSED | _L2_OFFSET))
    rows = zip(used.tolist(), words[used].tolist(), strict=True)
    return {(index, raw if raw & _COMPRESSED else raw & _L2_OFFSET) for index, raw in rows}


def _lost_tables(draft: Draft, slots: _Slots, older: dict[int, list[int]], progress: Progress) -> list[int]:
    """Tables that nothing points to and whose clusters nobody else claims, in the order of the file."""
    candidates = find_tables(draft.source, draft.geometry, progress)
    known = {*slots.good.values(), *(table for tables in older.values() for table in tables)}
    claimed = {target for table in slots.good.values() for _, target in _targets(draft, table)}
    header, size = draft.header, draft.geometry.cluster_size
    own = {0, int(header.l1_table_offset) // size * size, int(header.refcount_table_offset) // size * size}
    taken = known | own | claimed
    lost = []
    for at in candidates:
        targets = {target for _, target in _targets(draft, at)}
        points_to_tables = sum(target in candidates for target in targets) * 2 > len(targets)
        if at in taken or points_to_tables or len(targets & claimed) * 2 > len(targets):
            continue
        if _is_refcount_table(draft, targets):
            continue
        lost.append(at)
    inside = {target for at in lost for _, target in _targets(draft, at)}
    return [at for at in lost if at not in inside]


def _is_refcount_table(draft: Draft, targets: set[int]) -> bool:
    """True if what is pointed to counts itself: refcount blocks do."""
    size = draft.geometry.cluster_size
    sample = sorted(targets)[:2]
    blocks = (read_padded(draft.source, at, min(size, 64)) for at in sample if at % size == 0)
    return all(
        block[:2] in (b"\0\1", b"\1\1", b"\0\0", b"\xff\xff") and len(set(block)) <= 3 and any(block)
        for block in blocks
    ) and bool(sample)


def _placed(draft: Draft, slots: _Slots, older: dict[int, list[int]], lost: list[int]) -> dict[int, tuple[int, str]]:
    """L1 index -> table that shall be there, and why."""
    placed: dict[int, tuple[int, str]] = {}
    free = sorted([*slots.bad, *slots.hollow, *slots.empty])
    rest = []
    for table in lost:
        index = _like_a_snapshot(draft, table, older, [index for index in free if index not in placed])
        if index is None:
            rest.append(table)
        else:
            placed[index] = (table, "a snapshot has nearly the same table there")
    urgent = [index for index in (*slots.bad, *slots.hollow) if index not in placed]
    for table in rest:
        choice = [index for index in free if index not in placed]
        needy = [index for index in choice if index in urgent]
        behind = _in_order(slots, placed, table, needy) or _in_order(slots, placed, table, choice)
        if behind:
            placed[behind[0]] = (table, "an L2 table that nothing else points to; tables lie in the order of the disk")
    return placed


def _like_a_snapshot(draft: Draft, table: int, older: dict[int, list[int]], free: list[int]) -> int | None:
    mine = _targets(draft, table)
    best, chosen = 0, None
    for index in free:
        for other in older.get(index, ()):
            shared = len(mine & _targets(draft, other))
            if shared > best and shared * 2 > len(mine):
                best, chosen = shared, index
    return chosen


def _in_order(slots: _Slots, placed: dict[int, tuple[int, str]], table: int, free: list[int]) -> list[int]:
    """The free indices behind those whose tables lie before this one; all free ones if there are none."""
    there = {**slots.good, **{index: found for index, (found, _) in placed.items()}}
    before = max((index for index, at in there.items() if at < table), default=-1)
    return [index for index in free if index > before] or free


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
