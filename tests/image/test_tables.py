"""Tables, their bounded memory, refcounts, snapshots."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Data, Recipe, Snapshot, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.image.cache import Cache
from qcow2inspect.image.image import Image
from qcow2inspect.image.table import Table
from qcow2inspect.units import GuestOffset, HostOffset, HostRange
from tests.images import CountingSource, image_of, read_all, recipes


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(-1, 8))
def test_the_cache_keeps_the_last_used_and_no_more(keys: list[int], capacity: int) -> None:
    made: list[int] = []

    def make(key: int) -> int:
        made.append(key)
        return key * key

    cache = Cache(capacity, make)
    kept: list[int] = []
    for key in keys:
        before = len(made)
        assert cache[key] == key * key
        assert (len(made) == before) == (key in kept)
        kept = [*[other for other in kept if other != key], key][-max(1, capacity) :]
        assert len(cache) == len(kept)


def test_a_cache_remembers_no_failure() -> None:
    tries: list[int] = []

    def make(key: int) -> str:
        tries.append(key)
        if len(tries) == 1:
            raise ValueError
        return "now"

    cache = Cache(2, make)
    with pytest.raises(ValueError, match=r"^$"):
        cache[1]
    assert cache[1] == "now"


def test_a_cache_serves_threads() -> None:
    cache = Cache(3, lambda key: key + 1)
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(key for key in list(range(50)) * 40 if cache[key] != key + 1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(cache) == 3


@pytest.mark.parametrize("bits", [9, 16, 21])
def test_the_memory_for_l2_tables_is_bounded(bits: int) -> None:
    image = Image(CountingSource(build(Recipe(Layout(512, cluster_bits=bits))), size=1 << 40))
    size = image.geometry.cluster_size
    for index in range((24 << 20) // size + 50):
        image.l2_table(HostOffset(index * size))
    assert len(image._tables) * size <= 24 << 20


@given(recipes(), st.data())
def test_a_column_says_what_the_entries_say(recipe: Recipe, data: st.DataObject) -> None:
    image = image_of(recipe)
    table: Table[Any] = data.draw(st.sampled_from([image.l1, image.refcount_table]))
    start = data.draw(st.integers(0, len(table)))
    stop = data.draw(st.integers(start, len(table) + 5))
    assert table.column(start, stop).tolist() == [int(table[i]) for i in range(start, min(stop, len(table)))]
    for index in (-1, len(table)):
        with pytest.raises(IndexError):
            table[index]


def test_columns_of_extended_tables_have_two_words() -> None:
    image = image_of(Recipe(Layout(1 << 20, extended_l2=True), {2: Zero()}))
    table = image.l2_table(image.l1[0].l2_table_offset)
    assert table.words().shape == (4096, 2)
    assert table.bitmap(2).reads_as_zero == 0xFFFF_FFFF
    assert int(table.words()[2, 1]) == table.bitmap(2).raw
    assert image_of(Recipe(Layout(1 << 20), {0: Zero()})).l2_table(HostOffset(0)).bitmap(0).raw == 0


# refcounts of every width, as a snapshot leaves them
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 6])
def test_refcounts(order: int) -> None:
    layout = Layout(64 << 10, cluster_bits=12, refcount_order=order)
    image = image_of(Recipe(layout, {0: Data(b"shared"), 1: Data(b"old")}, (Snapshot(b"s", {1: Data(b"new")}),)))
    host = image.active_disk().lookup(GuestOffset(0)).host
    other = image.active_disk().lookup(GuestOffset(4096)).host
    assert host is not None
    assert other is not None
    assert image.refcount(host.start >> 12) == 2
    assert image.refcount(other.start >> 12) == 1
    assert image.refcount(0) == 1
    assert image.refcount(10**6) == 0
    where = image.refcount_where(0)
    assert where is not None
    assert where.size == max(1, (1 << order) // 8)
    assert image.refcount_where(1 << 50) is None


def test_snapshots_are_read_as_far_as_they_go() -> None:
    names = [f"snapshot {index}".encode() for index in range(300)]
    recipe = Recipe(Layout(1 << 20, cluster_bits=9), {0: Data(b"x")}, tuple(Snapshot(name) for name in names))
    whole = image_of(recipe)
    assert [snapshot.name for snapshot in whole.snapshots] == names
    assert [snapshot.id for snapshot in whole.snapshots][-1] == b"300"
    cut = image_of(build(recipe)[: whole.snapshots[120].at + 30])
    assert len(cut.snapshots) == 120


def test_reading_a_view_of_the_host_file() -> None:
    data = build(Recipe(Layout(1 << 20)))
    view = image_of(data).host_file()
    assert read_all(view) == data
    (extent,) = view.extents()
    assert (extent.guest.size, extent.host) == (len(data), HostRange.at(0, len(data)))
