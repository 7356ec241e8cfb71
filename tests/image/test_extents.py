"""Extents of an overlay and of what lies behind it, put together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.errors import CannotRead
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.extents import inside, through
from qcow2inspect.image.view import Extent, clipped
from qcow2inspect.units import GuestRange, HostRange

K = 1 << 16
KINDS = (ClusterType.UNALLOCATED, ClusterType.NORMAL, ClusterType.ZERO_PLAIN)


class Clusters:
    """A view that tells one extent for each cluster, and counts them; some tables cannot be read."""

    def __init__(self, kinds: list[ClusterType], bad: frozenset[int] = frozenset()) -> None:
        self.size = len(kinds) * K
        self.told = 0
        self._kinds = kinds
        self._bad = bad

    def extents(self, within: GuestRange | None = None) -> Iterator[Extent]:
        part = clipped(within, self.size)
        return inside(part, self._clusters(part.start // K, -(-part.end // K)))

    def _clusters(self, first: int, last: int) -> Iterator[Extent]:
        for number in range(first, last):
            if number in self._bad:
                raise CannotRead(f"the table of cluster {number}")
            self.told += 1
            kind = self._kinds[number]
            host = HostRange.at(number * K, K) if kind is ClusterType.NORMAL else None
            yield Extent.of(GuestRange.at(number * K, K), kind, host)


def seen(own: Clusters, behind: Any) -> list[Extent]:
    return list(through(own.extents(), behind, own.size))


@given(st.lists(st.sampled_from(KINDS), max_size=30), st.lists(st.sampled_from(KINDS), min_size=1, max_size=30))
def test_each_cluster_is_that_of_the_first_layer_that_holds_it(
    own: list[ClusterType], behind: list[ClusterType]
) -> None:
    found = seen(Clusters(own), Clusters(behind))
    assert [extent.guest for extent in found] == [GuestRange.at(number * K, K) for number in range(len(own))]
    for number, extent in enumerate(found):
        deeper = own[number] is ClusterType.UNALLOCATED and number < len(behind)
        assert (extent.layer, extent.kind) == ((1, behind[number]) if deeper else (0, own[number]))


def test_a_table_behind_data_of_the_overlay_is_not_needed() -> None:
    absent, normal = ClusterType.UNALLOCATED, ClusterType.NORMAL
    found = seen(Clusters([absent, normal, absent]), Clusters([normal] * 3, frozenset({1})))
    assert [extent.layer for extent in found] == [1, 0, 1]


def test_a_table_that_is_needed_and_cannot_be_read_is_an_error_after_what_comes_before() -> None:
    absent, normal = ClusterType.UNALLOCATED, ClusterType.NORMAL
    behind: Any = Clusters([normal] * 3, frozenset({2}))
    extents = through([Extent.of(GuestRange.at(0, 3 * K), absent)], behind, 3 * K)
    assert [next(extents).guest.end, next(extents).guest.end] == [K, 2 * K]
    with pytest.raises(CannotRead, match="cluster 2"):
        next(extents)


def test_what_lies_far_behind_data_of_the_overlay_is_not_gone_through() -> None:
    behind = Clusters([ClusterType.NORMAL] * 10_000)
    own = Clusters([ClusterType.UNALLOCATED] * 5 + [ClusterType.NORMAL] * 9_990 + [ClusterType.UNALLOCATED] * 5)
    assert [extent.layer for extent in seen(own, behind)] == [1] * 5 + [0] * 9_990 + [1] * 5
    assert behind.told == 10
