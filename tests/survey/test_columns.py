"""Runs, tallies and overlays count what a plain list counts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.survey import columns
from qcow2inspect.survey.columns import Runs, Tally, overlay, windows

LIMIT = 3000
CLAIMS = st.lists(
    st.tuples(st.integers(0, LIMIT + 50), st.integers(1, 40), st.sampled_from([1, 1, 1, 2, 300, 70_000])), max_size=40
)


def tally_of(claims: list[tuple[int, int, int]], *, dense: bool) -> Tally:
    tally = Tally(LIMIT)
    for chunk in (claims[::2], claims[1::2]):
        if chunk:
            tally.add(*(np.array(column, dtype=np.int64) for column in zip(*chunk, strict=True)))
        if dense:
            tally._flush()
    return tally


def plain(claims: list[tuple[int, int, int]]) -> list[int]:
    counts = [0] * (LIMIT + 200)
    for start, length, weight in claims:
        for cluster in range(start, start + length):
            counts[cluster] += weight
    return counts


@given(CLAIMS, st.booleans())
def test_a_tally_counts_like_a_list(claims: list[tuple[int, int, int]], dense: bool) -> None:
    tally, expected = tally_of(claims, dense=dense), plain(claims)
    clusters = np.arange(len(expected))
    assert tally.at(clusters).tolist() == expected
    runs = tally.runs(0, len(expected))
    assert runs.at(clusters).tolist() == expected
    assert tally.last >= max((at for at, count in enumerate(expected) if count), default=-1) + 1


@given(CLAIMS, st.booleans(), st.lists(st.tuples(st.integers(0, LIMIT), st.integers(1, 100)), min_size=1, max_size=9))
def test_ones_are_those_of_a_list(
    claims: list[tuple[int, int, int]], dense: bool, asked: list[tuple[int, int]]
) -> None:
    expected = plain(claims)
    starts, lengths = (np.array(column, dtype=np.int64) for column in zip(*asked, strict=True))
    found = tally_of(claims, dense=dense).ones(starts, lengths)
    assert found.tolist() == [expected[at : at + size].count(1) for at, size in asked]


@given(CLAIMS, CLAIMS)
def test_an_overlay_shows_both_columns(first: list[tuple[int, int, int]], second: list[tuple[int, int, int]]) -> None:
    tallies = [tally_of(first, dense=True), tally_of(second, dense=False)]
    expected = list(zip(plain(first), plain(second), strict=True))
    seen: list[tuple[int, int]] = []
    for low, high in windows(tallies, 0, len(expected)):
        starts, ends, (one, two) = overlay(tallies, low, high)
        for start, end, left, right in zip(starts, ends, one, two, strict=True):
            assert len(seen) == start
            seen += [(int(left), int(right))] * int(end - start)
    assert seen == expected


def test_windows_cover_everything_once() -> None:
    tally = Tally(5 * columns.WINDOW)
    tally.touched |= {1, 3}
    stop = 4 * columns.WINDOW + 7
    found = list(windows([tally], 5, stop))
    assert [found[0][0], *(high for _, high in found)] == [5, *(low for low, _ in found[1:]), stop]
    assert all(high - low <= columns.WINDOW for low, high in found if low // columns.WINDOW in tally.touched)


def test_runs_have_no_end() -> None:
    runs = Runs(np.array([0, 4], dtype=np.int64), np.array([7, 1], dtype=np.uint64))
    assert runs.at(np.array([0, 3, 4, 1 << 60])).tolist() == [7, 7, 1, 1]
    assert runs.ones(np.array([2, 9]), np.array([10, 3])).tolist() == [8, 3]


def test_refcounts_of_64_bits_survive() -> None:
    tally = Tally(10)
    values = np.array([(1 << 64) - 1, 1 << 63], dtype=np.uint64)
    tally.add(np.array([2, 5]), np.array([1, 1]), values.view(np.int64))
    assert tally.at(np.array([2, 5, 6])).tolist() == [(1 << 64) - 1, 1 << 63, 0]
