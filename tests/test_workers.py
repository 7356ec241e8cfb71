"""Work in threads: results in order, few items ahead, errors and stops come through."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from qcow2inspect.progress import Cancelled, Silent
from qcow2inspect.workers import in_order, worker_count


def test_results_come_in_the_order_of_the_items() -> None:
    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(in_order(range(100), work, Silent())) == [item * item for item in range(100)]
    assert list(in_order([], work, Silent())) == []


def test_a_single_item_needs_no_thread() -> None:
    names = list(in_order([1], lambda _: threading.current_thread().name, Silent()))
    assert names == [threading.current_thread().name]


def test_what_stays_here_comes_in_its_turn() -> None:
    def work(item: int) -> tuple[int, str]:
        time.sleep(0.002 * (item % 3))
        return item, threading.current_thread().name

    found = list(in_order(range(40), work, Silent(), here=lambda item: item % 4 == 0))
    assert [item for item, _ in found] == list(range(40))
    own = threading.current_thread().name
    assert {item for item, name in found if name == own} == set(range(0, 40, 4))


def test_few_items() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = in_order(items(), lambda item: item, Silent())
    for wanted in range(20):
        assert next(results) == wanted
        assert len(taken) <= wanted + worker_count() + 4
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker")]


def test_an_error_comes_out_in_its_turn() -> None:
    def work(item: int) -> int:
        if item == 7:
            raise ValueError(item)
        return item

    stop = threading.Event()
    results = in_order(range(100), work, Silent(), stop)
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(ValueError, match="7"):
        next(results)
    assert stop.is_set()


def test_whoever_waits_can_stop() -> None:
    class Impatient(Silent):
        def advance(self, amount: int) -> None:
            raise Cancelled

    stop = threading.Event()
    with pytest.raises(Cancelled):
        list(in_order(range(10), lambda _: stop.wait(20), Impatient(), stop))
