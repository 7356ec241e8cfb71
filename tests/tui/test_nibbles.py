"""Half bytes in pieces: all is as with an array that has a byte for each, and takes no more memory than it says."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.tui import nibbles
from qcow2inspect.tui.nibbles import LARGEST, PIECE, Nibbles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

M = 1 << 20


@pytest.fixture(params=[7, 64], scope="module")
def small_pieces(request: pytest.FixtureRequest) -> Iterator[None]:
    """Borders of pieces lie everywhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nibbles, "PIECE", request.param)
        yield


@st.composite
def numbers(draw: st.DrawFn) -> npt.NDArray[np.uint8]:
    """Few or many numbers, with long runs of the same or none."""
    count, seed, run = draw(st.integers(1, 300)), draw(st.integers(0, 99)), draw(st.sampled_from([1, 3, 40]))
    some = np.random.default_rng(seed).integers(0, LARGEST + 1, -(-count // run)).astype(np.uint8)
    return np.repeat(some, run)[:count]


@pytest.mark.usefixtures("small_pieces")
@given(numbers(), st.data())
def test_reading_is_as_with_an_array(values: npt.NDArray[np.uint8], data: st.DataObject) -> None:
    made = Nibbles.of(values)
    start = data.draw(st.integers(0, len(values) - 1))
    stop = data.draw(st.integers(start + 1, len(values)))
    some = values[start:stop]
    assert made.part().tolist() == values.tolist()
    assert made.part(start, stop).tolist() == some.tolist()
    assert [made[unit] for unit in range(len(made))] == values.tolist()
    assert made.counts(start, stop) == np.bincount(some, minlength=LARGEST + 1).tolist()
    assert made.counts() == np.bincount(values, minlength=LARGEST + 1).tolist()
    assert made.first_largest(start, stop) == start + int(some.argmax())
    units = np.random.default_rng(start).permutation(len(values))[:20]
    assert made.at(units).tolist() == values[units].tolist()
    wanted = int(values[data.draw(st.integers(0, len(values) - 1))])
    places = np.flatnonzero(some == wanted)
    assert made.first(start, stop, lambda part: part == wanted) == (start + places[0] if len(places) else None)
    assert made.last(start, stop, lambda part: part == wanted) == (start + places[-1] if len(places) else None)


@pytest.mark.usefixtures("small_pieces")
@given(numbers(), st.integers(0, 300), st.integers(1, 40), st.integers(1, 20))
def test_cells_have_their_largest_number(values: npt.NDArray[np.uint8], start: int, per_cell: int, cells: int) -> None:
    rows = [values[low : low + per_cell] for low in range(start, start + per_cell * cells, per_cell)]
    wanted = [int(row.max()) for row in rows if len(row)]
    made = Nibbles.of(values)
    assert made.largest(start, per_cell, cells).tolist() == wanted
    lows = range(0, len(values), per_cell)
    firsts = [low + int(values[low : low + per_cell].argmax()) for low in lows]
    assert list(made.first_largest_of(per_cell)) == [(unit, values[unit]) for unit in firsts]


@pytest.mark.usefixtures("small_pieces")
@given(numbers(), numbers(), st.data())
def test_writing_is_as_with_an_array(
    values: npt.NDArray[np.uint8], others: npt.NDArray[np.uint8], data: st.DataObject
) -> None:
    others = others[: len(values)]
    at = data.draw(st.integers(0, len(values) - len(others)))
    made, wanted = Nibbles.of(values), values.copy()
    made.raise_to(at, others)
    wanted[at : at + len(others)] = np.maximum(wanted[at : at + len(others)], others)
    assert made.part().tolist() == wanted.tolist()
    made.put(at, others)
    wanted[at : at + len(others)] = others
    assert made.part().tolist() == wanted.tolist()
    units = np.random.default_rng(at).permutation(len(values))[: len(others)]
    made.put_at(units, others[: len(units)])
    wanted[units] = others[: len(units)]
    made[at] = wanted[at] = 9
    assert made.part().tolist() == wanted.tolist()


_DEEDS: dict[str, Callable[[Nibbles], object]] = {
    "cells": lambda made: made.largest(0, 1024, 20_000),
    "odd cells": lambda made: made.largest(0, 1023, 20_000),
    "two cells": lambda made: made.largest(1, M // 8, 2),
    "counts": lambda made: made.counts(),
    "the first of the worst": lambda made: made.first_largest(0, len(made)),
    "another from the start": lambda made: made.first(0, len(made), lambda part: part > 1),
    "another from the end": lambda made: made.last(0, len(made), lambda part: part > 1),
    "raising": lambda made: made.raise_to(0, np.broadcast_to(np.uint8(1), len(made))),
}


@pytest.mark.parametrize("deed", _DEEDS)
def test_no_memory_is_taken_for_each_of_millions(deed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a byte for each is all: what is done takes a small part of that for a while."""
    monkeypatch.setattr(nibbles, "PIECE", PIECE)
    _DEEDS[deed](Nibbles(1))  # what is loaded once is not counted
    made = Nibbles(16 * M)
    assert made.nbytes == 8 * M
    tracemalloc.start()
    _DEEDS[deed](made)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < M
