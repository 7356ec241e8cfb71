"""What is claimed twice, found in little memory: the same as when every pair is compared."""

from __future__ import annotations

from itertools import pairwise
from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.export.places import IN_TABLE, TWICE, Places, apart
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.view import Extent

UNIT = 1 << 16
PART = UNIT // 32
END = 40 * UNIT
SIZES = st.integers(1, 12)


@st.composite
def clusters(draw: st.DrawFn) -> list[Extent]:
    """Guest clusters one behind the other, each in one host cluster: whole, in parts, several in a row, or a stream."""
    extents: list[Extent] = []
    at = 0
    for _ in range(draw(st.integers(0, 12))):
        host = draw(st.integers(0, 25)) * UNIT
        kind = draw(st.sampled_from(["whole", "parts", "stream", "nothing"]))
        size = draw(SIZES) * UNIT if kind == "whole" else UNIT
        if kind == "whole":
            extents.append(Extent(at, at + size, ClusterType.NORMAL, host, host + size))
        elif kind == "parts":
            edges = sorted(draw(st.sets(st.integers(0, 32), min_size=2, max_size=6)))
            for low, high in list(pairwise(edges))[::2]:
                place = (host + low * PART, host + high * PART)
                extents.append(Extent(at + low * PART, at + high * PART, ClusterType.NORMAL, *place))
        elif kind == "stream":
            start = host + draw(st.integers(0, 3)) * 100
            extents.append(Extent(at, at + UNIT, ClusterType.COMPRESSED, start, start + 512))
        at += size
    return extents


def one_by_one(extents: list[Extent], tables: list[tuple[int, int]]) -> set[tuple[int, str]]:
    """Doubtful bytes of the view, by parts of a cluster, every pair compared."""
    found = set()
    for one in extents:
        for at in range(one.start, one.end, PART):
            host = one.host_start + at - one.start
            if one.kind is ClusterType.NORMAL:
                found |= {(at, IN_TABLE) for low, high in tables if low <= host < high}
            others = [other for other in extents if other.kind is one.kind and other is not one]
            if any(_shares(one, at, other) for other in others):
                found.add((at, TWICE))
    return found


def _shares(one: Extent, at: int, other: Extent) -> bool:
    if one.kind is ClusterType.COMPRESSED:
        return one.host_start == other.host_start
    cluster = (one.host_start + at - one.start) // UNIT
    if not other.host_start // UNIT <= cluster <= (other.host_end - 1) // UNIT:
        return False
    return at // UNIT != (other.start - other.start % UNIT) // UNIT + cluster - other.host_start // UNIT


@given(clusters(), st.lists(st.integers(0, 39), max_size=3), st.integers(1, 5), st.integers(1, 5))
def test_what_is_claimed_twice_is_found(extents: list[Extent], tables: list[int], batch: int, streams: int) -> None:
    rows = [(at * UNIT, (at + 1) * UNIT) for at in tables]
    low, high = (np.array([row[side] for row in rows], dtype=np.int64) for side in (0, 1))
    places, passes = Places(UNIT, END, apart(low, high)), 0
    batches = [extents[at : at + batch] for at in range(0, len(extents), batch)]
    with mock.patch("qcow2inspect.export.places._STREAMS", streams):
        while True:
            for part in batches:
                places.add(part)
            passes += 1
            if not places.wants():
                break
    found = [doubt for part in batches for doubt in places.doubts(part)]
    named = {(at, doubt.reason) for doubt in found for at in range(doubt.start, doubt.end, PART)}
    assert named == one_by_one(extents, rows)
    assert places.is_clear is (not named)
    assert passes <= len(extents) + 1
    by_start = {each.start: each for each in extents}
    for doubt in found:
        if doubt.host >= 0:
            extent = by_start[max(start for start in by_start if start <= doubt.start)]
            assert doubt.host - extent.host_start == doubt.start - extent.start


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9))))
def test_ranges_are_joined_where_they_meet(ranges: list[tuple[int, int]]) -> None:
    start = np.array([at for at, _ in ranges], dtype=np.int64)
    low, high = apart(start, start + np.array([size for _, size in ranges], dtype=np.int64))
    assert (low[1:] > high[:-1]).all()
    covered = {at for first, last in zip(low.tolist(), high.tolist(), strict=True) for at in range(first, last)}
    assert covered == {at for first, size in ranges for at in range(first, first + size)}
