"""Host clusters whose use and refcount contradict each other, or that have owners who must not share them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from qcow2inspect.survey.claims import Owner
from qcow2inspect.survey.columns import Tally, distinct

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.survey.columns import Ints
    from qcow2inspect.survey.usage import Stretches, Usage

    Mask = npt.NDArray[np.bool_]

__all__ = ["KEPT_SPANS", "Fault", "Faults", "Span", "clusters_of", "find_faults"]

KEPT_SPANS = 1024
"""Stretches of clusters of one fault that are kept with their place; the rest is counted."""


class Fault(Enum):
    """What is wrong with a host cluster."""

    REF_LOW = "stored refcount above zero, more references"
    REF_ZERO = "stored refcount zero, references"
    BLOCK_MISSING = "references, no refcount block"
    LEAK = "references, larger stored refcount"
    ORPHAN = "no reference, stored refcount above zero"
    PAST_END = "stored refcount above zero past the end of the file"
    OVERFLOW = "more references than a refcount can count"
    DATA_IN_METADATA = "guest data and metadata"
    METADATA_TWICE = "two structures of metadata"
    MIXED_DATA = "a compressed and a normal cluster"
    SHARED = "two guest clusters of the active state"


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring host clusters with the same fault and the same numbers.

    Attributes:
        start: first cluster.
        end: the cluster behind the last.
        stored: the stored refcount.
        references: number of references.
    """

    start: int
    end: int
    stored: int
    references: int


@dataclass
class Faults:
    """All faults of an image.

    Attributes:
        count: host clusters with each fault.
        spans: the first of them.
    """

    count: dict[Fault, int] = field(default_factory=dict)
    spans: dict[Fault, list[Span]] = field(default_factory=dict)

    def note(self, fault: Fault, part: Stretches, mask: Mask) -> None:
        """Add the stretches of ``part`` for which ``mask`` is true."""
        import numpy as np

        rows = np.flatnonzero(mask)
        if not len(rows):
            return
        self.count[fault] = self.count.get(fault, 0) + int(part.size[rows].sum())
        kept = self.spans.setdefault(fault, [])
        references = part.references
        for row in rows[: KEPT_SPANS - len(kept)].tolist():
            kept.append(Span(int(part.start[row]), int(part.end[row]), int(part.stored[row]), int(references[row])))

    def first(self, *faults: Fault) -> list[Span]:
        """The kept spans of some faults."""
        return [span for fault in faults for span in self.spans.get(fault, [])]


def find_faults(usage: Usage, refcount_max: int) -> Faults:
    """Look at every host cluster once; claims that only QEMU's check sees do not count."""
    import numpy as np

    faults = Faults()
    for part in usage.stretches():
        for fault, mask in _conditions(part, usage, refcount_max):
            faults.note(fault, part, mask)
    last = int(usage.refcounts.counts.last)
    if last > usage.limit:
        for part in usage.stretches_of(usage.limit, last):
            faults.note(Fault.PAST_END, part, part.stored > np.uint64(0))
    _metadata_twice(usage, faults)
    return faults


def _conditions(part: Stretches, usage: Usage, most: int) -> Iterator[tuple[Fault, Mask]]:
    import numpy as np

    stored, found = part.stored, part.references
    data = part.active + part.snapshots
    unequal = stored != found
    if unequal.any():
        none = (stored == 0) & (found > 0)
        covered = np.ones(len(stored), dtype=bool)
        rows = np.flatnonzero(none)
        covered[rows] = usage.refcounts.is_covered(part.start[rows])
        yield Fault.REF_ZERO, none & covered
        yield Fault.BLOCK_MISSING, none & ~covered
        over = found > np.uint64(most)
        yield Fault.OVERFLOW, over
        yield Fault.REF_LOW, (stored > 0) & (stored < found) & ~(over & (stored == np.uint64(most)))
        yield Fault.LEAK, (found > 0) & (stored > found)
        yield Fault.ORPHAN, (found == 0) & (stored > 0)
    yield Fault.DATA_IN_METADATA, (part.metadata > 0) & (data + part.packed > 0)
    yield Fault.MIXED_DATA, (part.metadata == 0) & (data > 0) & (part.packed > 0)
    yield Fault.SHARED, (part.metadata == 0) & (part.packed == 0) & (part.active > 1)


def _metadata_twice(usage: Usage, faults: Faults) -> None:
    """Clusters that two structures claim; one L2 table with many L1 entries is one structure."""
    import numpy as np

    metadata = usage.metadata
    group = np.where(metadata.owner == Owner.L2_SNAPSHOT, Owner.L2, metadata.owner)
    order = np.lexsort((group, metadata.length, metadata.start))
    key = (metadata.start[order], metadata.length[order], group[order])
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in key])
    tally = Tally(usage.limit + 1)
    tally.add(key[0][is_first], key[1][is_first], np.ones(int(is_first.sum()), dtype=np.int64))
    runs = tally.runs(0, usage.limit)
    ends = np.append(runs.starts[1:], usage.limit)
    rows = np.flatnonzero(runs.values > 1)
    if len(rows):
        faults.count[Fault.METADATA_TWICE] = int((ends - runs.starts)[rows].sum())
        stored = usage.refcounts.counts.at(runs.starts[rows])
        faults.spans[Fault.METADATA_TWICE] = [
            Span(int(runs.starts[row]), int(ends[row]), int(count), int(runs.values[row]))
            for row, count in zip(rows[:KEPT_SPANS].tolist(), stored.tolist(), strict=False)
        ]


def clusters_of(spans: list[Span], most: int) -> Ints:
    """The clusters of some spans in order, at most ``most``."""
    import numpy as np

    clusters: list[int] = []
    for span in spans:
        clusters.extend(range(span.start, min(span.end, span.start + most - len(clusters))))
        if len(clusters) >= most:
            break
    return distinct(np.array(clusters, dtype=np.int64))
