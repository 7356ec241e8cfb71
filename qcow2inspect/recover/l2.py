"""L2 entries that are lost: the clusters that nothing points to say that there are some, their neighbours where.

Writers fill the file in the order of the disk more often than not. A cluster that nothing points to, between the
clusters of two guest neighbours, belongs between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.format.mapping import L1Entry, L2Entry
from qcow2inspect.recover.orphans import contested

if TYPE_CHECKING:
    from collections.abc import Set

    from qcow2inspect.progress import Progress
    from qcow2inspect.recover.draft import Draft
    from qcow2inspect.recover.orphans import Contested

__all__ = ["mend_l2"]

_L1_OFFSET = L1Entry.l2_table_offset.mask
_OFFSET = L2Entry.host_cluster_offset.mask
_NOT_PLAIN = L2Entry.compressed.mask | L2Entry.reads_as_zero.mask
_COPIED = L2Entry.copied.mask
_MOST = 4096
_MOST_TABLES = 1 << 16
_LONGEST_GAP = 8
_BETWEEN = "nothing points to this cluster, which lies between those of the guest's neighbours"
_GAP = "clusters that nothing points to show that an entry is lost; perhaps this one"


def mend_l2(draft: Draft, progress: Progress) -> None:
    """Assume what stood in L2 entries that lead nowhere, and doubt gaps, if clusters exist that nothing points to.

    Raises:
        Cancelled: the user asked to stop.
    """
    import numpy as np

    doubted = contested(draft, progress)
    if not doubted.orphans:
        return
    made, tables, left = 0, dict[int, int](), _MOST_TABLES
    for start, words in draft.l1_blocks():
        used = np.flatnonzero(draft.leads_somewhere(words))[:left]
        left -= len(used)
        tables.update(zip((words[used] & np.uint64(_L1_OFFSET)).tolist(), (start + used).tolist(), strict=True))
    for at, index in tables.items():
        if made < _MOST and not draft.look(at).is_empty:
            made += _mend_table(draft, index, at, doubted)


def _mend_table(draft: Draft, index: int, at: int, doubted: Contested) -> int:
    """Go through one L2 table; gives the number of assumptions."""
    import numpy as np

    geometry = draft.geometry
    stride = geometry.l2_entry_size // 8
    words = draft.words(at, geometry.cluster_size // 8)[::stride]
    made = 0
    for place in _expected(words, geometry.cluster_bits, doubted.orphans):
        if not _is_lost(draft, int(words[place]), doubted):
            continue
        value = (int(words[place - 1]) & _OFFSET) + geometry.cluster_size
        _set(draft, index, at, place, value | _COPIED, _BETWEEN)
        words[place] = value
        made += 1
    used = np.flatnonzero(words)
    starts = used[:-1][(np.diff(used) > 1) & (np.diff(used) <= _LONGEST_GAP + 1)]
    for start in starts[: _MOST - made].tolist():
        end = int(used[np.searchsorted(used, start) + 1])
        for place in range(start + 1, end):
            _set(draft, index, at, place, int(words[place]), _GAP)
            made += 1
    return made


def _expected(words: object, bits: int, orphans: Set[int]) -> list[int]:
    """Places between two neighbours whose clusters leave room for exactly one, which nothing points to."""
    import numpy as np

    column = np.asarray(words, dtype=np.uint64)
    host = np.where(column & np.uint64(_NOT_PLAIN) == 0, column & np.uint64(_OFFSET), np.uint64(0))
    left, right = host[:-2], host[2:]
    fits = (left != 0) & (right - left == np.uint64(2 << bits)) & (host[1:-1] != left + np.uint64(1 << bits))
    return [place + 1 for place in np.flatnonzero(fits).tolist() if (int(left[place]) >> bits) + 1 in orphans]


def _is_lost(draft: Draft, raw: int, doubted: Contested) -> bool:
    """True for an entry that leads nowhere, or to what others have too; a sound one is not questioned."""
    target, geometry = raw & _OFFSET, draft.geometry
    if raw & _NOT_PLAIN:
        return False
    if not target or not geometry.is_aligned(target) or target >= draft.source.size:
        return True
    return target >> geometry.cluster_bits in doubted.shared


def _set(draft: Draft, index: int, table: int, place: int, value: int, why: str) -> None:
    geometry = draft.geometry
    size = int(draft.header.size)
    doubt = geometry.guest_cluster(index, place).clip(0, size)
    if doubt:
        where = table + place * geometry.l2_entry_size
        draft.set_entry(f"L1[{index}].L2[{place}]", where, value, why, doubt=doubt)
