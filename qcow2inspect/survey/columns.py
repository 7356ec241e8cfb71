"""Numbers for every host cluster of an image of any size: as runs of equal numbers, as bytes where there are no runs.

::

    Runs     starts  0      4    6        100          a number for each stretch [starts[i], starts[i+1])
             values  1      2    1        0            the last stretch has no end
    Tally    claims come in runs; long ones are kept as +1 and -1 events, short ones are counted in bytes

Both answer :meth:`runs`: the runs inside a window of clusters, so that several of them can be laid over each other
(:func:`overlay`) without an array of the size of the image file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    Ints: TypeAlias = npt.NDArray[np.int64]
    Counts: TypeAlias = npt.NDArray[np.uint64]

__all__ = ["WINDOW", "Runs", "Tally", "distinct", "overlay", "pieces", "windows"]

WINDOW = 1 << 20
"""Clusters that are looked at together where an image has no long runs."""

_LONG = 8
_PENDING = 1 << 17
_DENSE_LIMIT = 1 << 31
_EVENTS = 1 << 21
_EXPANDED = 4096


@dataclass(frozen=True)
class Runs:
    """A number for every cluster, piece by piece.

    Attributes:
        starts: ``int64``, ascending, the first is 0; run ``i`` is ``[starts[i], starts[i + 1])``, the last has no end.
        values: ``uint64``, the number of each run.
    """

    starts: Ints
    values: Counts

    @classmethod
    def constant(cls, value: int = 0) -> Runs:
        """The same number everywhere."""
        import numpy as np

        return cls(np.zeros(1, dtype=np.int64), np.array([value], dtype=np.uint64))

    def at(self, clusters: Ints) -> Counts:
        """The number of each cluster, same shape and index."""
        import numpy as np

        return self.values[np.searchsorted(self.starts, clusters, side="right") - 1]

    def ones(self, starts: Ints, lengths: Ints) -> Ints:
        """How many clusters of each stretch ``[starts[i], starts[i] + lengths[i])`` have the number one."""
        import numpy as np

        if not len(starts):
            return np.zeros(0, dtype=np.int64)
        low, high = np.searchsorted(self.starts, [starts.min(), (starts + lengths).max() - 1], side="right") - 1
        if low == high:
            return lengths if self.values[low] == 1 else np.zeros_like(lengths)
        is_one = (self.values == 1).astype(np.int64)
        before = np.concatenate(([0], np.cumsum(np.diff(self.starts) * is_one[:-1])))

        def prefix(clusters: Ints) -> Ints:
            run = np.searchsorted(self.starts, clusters, side="right") - 1
            found: Ints = before[run] + (clusters - self.starts[run]) * is_one[run]
            return found

        return prefix(starts + lengths) - prefix(starts)

    def ending_at(self, stop: int) -> Runs:
        """The same below ``stop``, zero from there on."""
        import numpy as np

        return Runs(np.append(self.starts, stop), np.append(self.values, np.uint64(0)))

    def runs(self, start: int, stop: int) -> Runs:
        """The part inside ``[start, stop)``, numbers zero elsewhere not promised; starts begin at ``start``."""
        import numpy as np

        low = int(np.searchsorted(self.starts, start, side="right")) - 1
        high = int(np.searchsorted(self.starts, stop, side="left"))
        starts = self.starts[low:high].copy()
        starts[0] = start
        return Runs(starts, self.values[low:high])


def distinct(values: Ints) -> Ints:
    """The different numbers in order; without what ``np.unique`` loads, which takes as long as a small check."""
    import numpy as np

    ordered = np.sort(values)
    return np.append(ordered[:1], ordered[1:][ordered[1:] != ordered[:-1]])


def _runs_of_column(values: npt.NDArray[np.generic], start: int) -> Runs:
    """A dense column, whose first number belongs to cluster ``start``, as runs."""
    import numpy as np

    breaks = np.flatnonzero(values[1:] != values[:-1]) + 1
    first = np.concatenate((np.zeros(1, dtype=np.int64), breaks))
    return Runs(first + start, values[first].astype(np.uint64))


def _merge(runs: Sequence[Runs]) -> Runs:
    """The sum of several runs that begin at the same cluster."""
    import numpy as np

    if len(runs) == 1:
        return runs[0]
    starts = distinct(np.concatenate([each.starts for each in runs]))
    values = np.zeros(len(starts), dtype=np.uint64)
    for each in runs:
        values += each.at(starts)
    return Runs(starts, values)


def overlay(columns: Sequence[Runs | Tally], start: int, stop: int) -> tuple[Ints, Ints, list[Counts]]:
    """Several numbers of the clusters ``[start, stop)`` side by side.

    Returns:
        Starts and ends of the stretches in which no number changes, and for each column its numbers there.
    """
    import numpy as np

    parts = [column.runs(start, stop) for column in columns]
    starts = distinct(np.concatenate([part.starts for part in parts]))
    ends = np.append(starts[1:], stop)
    return starts, ends, [part.at(starts) for part in parts]


def windows(columns: Sequence[Runs | Tally], start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Windows that together are ``[start, stop)``: of :data:`WINDOW` clusters at most where bytes are counted."""
    last = -(-stop // WINDOW)
    dense = sorted({window for column in columns if isinstance(column, Tally) for window in column.touched})
    for window in dense:
        if window < start // WINDOW:
            continue
        if window >= last:
            break
        if window * WINDOW > start:
            yield start, window * WINDOW
            start = window * WINDOW
        end = min(stop, (window + 1) * WINDOW)
        yield start, end
        start = end
    if start < stop:
        yield start, stop


def pieces(columns: Sequence[Tally], start: int, stop: int, most: int) -> Iterator[tuple[int, int]]:
    """Windows that together are ``[start, stop)``, with ``most`` runs of each column and no more clusters in bytes."""
    for low, high in windows(columns, start, stop):
        cuts = {low, *(range(low, high, most) if high - low <= WINDOW else ())}
        for column in columns:
            cuts.update(column.changes(low, high)[most::most].tolist())
        yield from pairwise((*sorted(cuts), high))


@dataclass
class Tally:
    """How often each cluster is claimed.

    Attributes:
        limit: no cluster at or above it is counted in bytes (those of the file, usually).
        touched: windows of :data:`WINDOW` clusters in which claims are counted in bytes.
    """

    limit: int
    touched: set[int] = field(default_factory=set)
    _events: list[tuple[Ints, Ints]] = field(default_factory=list)
    _event_count: int = 0
    _pending: list[tuple[Ints, Ints]] = field(default_factory=list)
    _pending_count: int = 0
    _dense: npt.NDArray[np.uint8] | None = None
    _long: Runs | None = None

    def add(self, starts: Ints, lengths: Ints, weights: Ints) -> None:
        """Claim the clusters ``[starts[i], starts[i] + lengths[i])`` ``weights[i]`` times each."""
        import numpy as np

        if not len(starts):
            return
        self._long = None
        short = lengths < _LONG
        if not short.all():
            long = ~short
            self._add_events(starts[long], starts[long] + lengths[long], weights[long])
            starts, lengths, weights = starts[short], lengths[short], weights[short]
        if not len(starts):
            return
        if int(lengths.max()) > 1:
            index = np.repeat(np.arange(len(starts)), lengths)
            step = np.arange(len(index)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            starts, weights = starts[index] + step, weights[index]
        self._add_single(starts, weights)

    def _add_single(self, clusters: Ints, weights: Ints) -> None:
        """Claims of one cluster each; equal ones are joined."""
        import numpy as np

        if len(weights) and int(weights[0]) == int(weights.max()) == int(weights.min()):
            clusters = np.sort(clusters)
            first = np.flatnonzero(np.concatenate(([True], clusters[1:] != clusters[:-1])))
            counts = np.diff(np.append(first, len(clusters))) * int(weights[0])
        else:
            order = np.argsort(clusters, kind="stable")
            clusters, weights = clusters[order], weights[order]
            first = np.flatnonzero(np.concatenate(([True], clusters[1:] != clusters[:-1])))
            counts = np.add.reduceat(weights, first)
        self._pending.append((clusters[first], counts))
        self._pending_count += len(first)
        if self._pending_count > _PENDING:
            self._flush()

    def _flush(self) -> None:
        """Count what is pending in bytes; what a byte cannot hold becomes an event."""
        import numpy as np

        pending, self._pending, self._pending_count = self._pending, [], 0
        if self._dense is None:
            if self.limit > _DENSE_LIMIT:
                for clusters, counts in pending:
                    self._add_events(clusters, clusters + 1, counts)
                return
            self._dense = np.zeros(self.limit, dtype=np.uint8)
        for clusters, counts in pending:  # each sorted, without repeats
            total = counts + self._dense[np.minimum(clusters, self.limit - 1)]
            fits = (total < 256) & (counts >= 0) & (clusters < self.limit)
            large = ~fits
            self._add_events(clusters[large], clusters[large] + 1, counts[large])
            fitting = clusters[fits]
            self._dense[fitting] = total[fits]
            window = fitting // WINDOW
            self.touched.update(window[np.flatnonzero(np.diff(window, prepend=-1))].tolist())

    def _add_events(self, starts: Ints, ends: Ints, weights: Ints) -> None:
        import numpy as np

        if not len(starts):
            return
        self._events.append((np.concatenate((starts, ends)), np.concatenate((weights, -weights))))
        self._event_count += 2 * len(starts)
        if self._event_count > _EVENTS:
            self._join_events()

    def _join_events(self) -> tuple[Ints, Ints]:
        """All events in order, one for each cluster at which something changes."""
        import numpy as np

        if not self._events:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        places = np.concatenate([place for place, _ in self._events])
        changes = np.concatenate([change for _, change in self._events])
        order = np.argsort(places, kind="stable")
        places, changes = places[order], changes[order]
        first = np.flatnonzero(np.concatenate(([True], places[1:] != places[:-1])))
        places, changes = places[first], np.add.reduceat(changes, first)
        some = changes != 0
        self._events, self._event_count = [(places[some], changes[some])], 0
        return self._events[0]

    def _long_runs(self) -> Runs:
        """All that is not counted in bytes."""
        import numpy as np

        if self._long is None:
            if self._dense is not None:
                self._flush()
            for clusters, counts in self._pending:
                self._add_events(clusters, clusters + 1, counts)
            self._pending, self._pending_count = [], 0
            places, changes = self._join_events()
            if len(places) and places[0] == 0:
                starts, values = places, np.cumsum(changes)
            else:
                starts = np.concatenate((np.zeros(1, dtype=np.int64), places))
                values = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(changes)))
            self._long = Runs(starts, values.astype(np.uint64))
        return self._long

    def changes(self, start: int, stop: int) -> Ints:
        """The clusters of ``[start, stop)`` from which on another number of claims is not counted in bytes."""
        import numpy as np

        starts = self._long_runs().starts
        return starts[int(np.searchsorted(starts, start)) : int(np.searchsorted(starts, stop))]

    @property
    def last(self) -> int:
        """The cluster behind the last that is claimed, or a little more."""
        bytes_end = (max(self.touched) + 1) * WINDOW if self.touched else 0
        return max(int(self._long_runs().starts[-1]), min(bytes_end, self.limit))

    def at(self, clusters: Ints) -> Counts:
        """How often each cluster is claimed, same shape and index."""
        import numpy as np

        counts = self._long_runs().at(clusters)
        if self._dense is not None:
            inside = clusters < self.limit
            counts = counts + np.where(inside, self._dense[np.where(inside, clusters, 0)], 0).astype(np.uint64)
        return counts

    def runs(self, start: int, stop: int) -> Runs:
        """The runs of equal numbers inside ``[start, stop)``; no longer than a window where bytes are counted."""
        long = self._long_runs().runs(start, stop)
        if self._dense is None or start // WINDOW not in self.touched or start >= self.limit:
            return long
        dense = _runs_of_column(self._dense[start : min(stop, self.limit)], start)
        return _merge([long, dense if stop <= self.limit else dense.ending_at(self.limit)])

    def ones(self, starts: Ints, lengths: Ints) -> Ints:
        """How many clusters of each stretch ``[starts[i], starts[i] + lengths[i])`` have the number one."""
        import numpy as np

        if self._dense is None:
            return self._long_runs().ones(starts, lengths)
        found = np.zeros(len(starts), dtype=np.int64)
        small = lengths <= _EXPANDED
        index = np.repeat(np.flatnonzero(small), lengths[small])
        if len(index):
            ends = np.cumsum(lengths[small])
            step = np.arange(len(index)) - np.repeat(ends - lengths[small], lengths[small])
            is_one = self.at(starts[index] + step) == 1
            found += np.bincount(index[is_one], minlength=len(starts))
        for i in np.flatnonzero(~small).tolist():
            found[i] = self._ones_of(int(starts[i]), int(starts[i] + lengths[i]))
        return found

    def _ones_of(self, start: int, stop: int) -> int:
        total = 0
        for low, high in windows([self], start, stop):
            part = self.runs(low, high)
            ends = [*part.starts[1:].tolist(), high]
            rows = zip(part.starts.tolist(), ends, part.values.tolist(), strict=True)
            total += sum(end - at for at, end, value in rows if value == 1)
        return total
