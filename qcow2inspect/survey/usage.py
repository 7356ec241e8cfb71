"""Who uses each host cluster, how often, and what the refcount says: all columns side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from qcow2inspect.survey.columns import Tally, overlay, pieces, windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.account import Account
    from qcow2inspect.survey.claims import Claims, MetadataClaims
    from qcow2inspect.survey.columns import Counts, Ints
    from qcow2inspect.survey.refcounts import StoredRefcounts

__all__ = ["Stretches", "Usage"]


@dataclass(frozen=True)
class Stretches:
    """Stretches of host clusters ``[start, end)`` in which nothing changes; one row is one stretch.

    Attributes:
        start: first cluster.
        end: the cluster behind the last.
        metadata: claims by metadata.
        active: claims by normal clusters of the active state.
        snapshots: the same by snapshots.
        packed: claims by compressed clusters.
        phantom: claims that only QEMU's check sees.
        stored: the stored refcount.
    """

    start: Ints
    end: Ints
    metadata: Counts
    active: Counts
    snapshots: Counts
    packed: Counts
    phantom: Counts
    stored: Counts

    @property
    def references(self) -> Counts:
        """Claims by all owners that there are."""
        return self.metadata + self.active + self.snapshots + self.packed

    @property
    def size(self) -> Ints:
        """Clusters of each stretch."""
        return self.end - self.start


class Usage:
    """The use of the host clusters of an image.

    Attributes:
        account: claims of guest data.
        claims: claims of metadata.
        refcounts: stored refcounts.
        limit: the cluster behind the last that QEMU's check looks at.
    """

    def __init__(self, account: Account, claims: Claims, refcounts: StoredRefcounts, clusters: int) -> None:
        self.account = account
        self.claims = claims
        self.refcounts = refcounts
        self._clusters = clusters

    @cached_property
    def metadata(self) -> MetadataClaims:
        """The claims of metadata one by one."""
        return self.claims.columns()

    @cached_property
    def metadata_tally(self) -> Tally:
        """How often metadata claims each cluster."""
        tally = Tally(self._clusters + 1)
        tally.add(self.metadata.start, self.metadata.length, self.metadata.weight)
        return tally

    @property
    def _tallies(self) -> list[Tally]:
        account = self.account
        owners = [self.metadata_tally, account.active, account.snapshots, account.packed, account.phantom]
        return [*owners, self.refcounts.counts]

    @cached_property
    def limit(self) -> int:
        """The clusters of the file, and one more if something reaches into it."""
        import numpy as np

        last = np.array([self._clusters], dtype=np.int64)
        return self._clusters + any(int(tally.at(last)[0]) for tally in self._tallies[:-1])

    def references_at(self, clusters: Ints) -> Counts:
        """Claims on each cluster that QEMU's check counts, same shape and index."""
        metadata, *others = self._tallies[:-1]
        return sum((tally.at(clusters) for tally in others), metadata.at(clusters))

    def at(self, clusters: Ints) -> Stretches:
        """Single clusters: one row for each, in their order."""
        return Stretches(clusters, clusters + 1, *(tally.at(clusters) for tally in self._tallies))

    def stretches(self) -> Iterator[Stretches]:
        """All clusters of the file, some rows at a time, in order."""
        return self.stretches_of(0, self.limit)

    def stretches_of(self, start: int, stop: int, most: int | None = None) -> Iterator[Stretches]:
        """The clusters ``[start, stop)``, some rows at a time, in order.

        Args:
            start: first cluster.
            stop: the cluster behind the last.
            most: how many runs of each column shall be looked at together, to take little memory; all that are
                quick to look at by default.
        """
        tallies = self._tallies
        parts = windows(tallies, start, stop) if most is None else pieces(tallies, start, stop, most)
        for low, high in parts:
            first, end, values = overlay(tallies, low, high)
            yield Stretches(first, end, *values)
