"""Snapshots and VM states: each of its own size, each with its own table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Data, Recipe, Snapshot
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import BadAddress, Damaged, Unsupported
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.follow import chain_of, open_chain
from qcow2inspect.units import GuestOffset, GuestRange
from tests.image.chains import K, agree, vm_recipe, write
from tests.image.v1_images import V1Recipe
from tests.images import image_of, noise, read_all


def test_snapshots_have_their_own_size() -> None:
    first = Snapshot(b"small", {0: Data(b"new")}, disk_size=2 * K)
    recipe = Recipe(Layout(8 * K), {0: Data(b"old"), 7: Data(b"end")}, (first, Snapshot(b"large", disk_size=9 * K)))
    chain = chain_of(image_of(recipe))
    small, large = chain.disk("small"), chain.disk("2")
    assert (small.size, large.size, chain.disk().size) == (2 * K, 9 * K, 8 * K)
    assert small.read_at(0, 3) == b"old"
    assert large.read_at(0, 3) == chain.disk().read_at(0, 3) == b"new"
    assert large.read_at(7 * K, 3) == b"end"
    for disk in (small, large):
        agree(disk)
    with pytest.raises(BadAddress, match=r"no snapshot “third”; the image has: .*small.*large"):
        chain.disk("third")


def test_a_name_that_several_snapshots_have_is_none() -> None:
    """The first one would be exported for the other; an id, or the index, says which is meant."""
    states = [Snapshot(name, {0: Data(data)}) for name, data in ((b"same", b"one"), (b"same", b"two"), (b"3", b"not"))]
    chain = chain_of(image_of(Recipe(Layout(K), {0: Data(b"now")}, tuple(states))))
    with pytest.raises(BadAddress, match=r"2 snapshots have the name “same”: say which of snap\[0\], snap\[1\]"):
        chain.disk("same")
    by_index = [chain.disk(f"snap[{index}]") for index in range(3)]
    assert [disk.read_at(0, 3) for disk in by_index] == [chain.disk(name).read_at(0, 3) for name in ("1", "2", "3")]
    assert len({disk.read_at(0, 3) for disk in by_index}) == 3
    with pytest.raises(BadAddress, match=r"no snapshot “snap\[3\]”"):
        chain.disk("snap[3]")


def test_a_snapshot_that_asks_for_more_than_its_l1_table_maps() -> None:
    chain = chain_of(
        image_of(Recipe(Layout(1 << 15, cluster_bits=9), {0: Data(b"x")}, (Snapshot(b"s", disk_size=1 << 40),)))
    )
    disk = chain.disk("s")
    agree(disk)
    assert disk.size == 1 << 40
    beyond = disk.lookup(GuestOffset(1 << 30))
    assert beyond.past_end
    assert beyond.kind is ClusterType.UNALLOCATED


def test_damaged_l1_tables_stand_for_one_state_each() -> None:
    recipe = Recipe(Layout(8 * K), {0: Data(b"old")}, (Snapshot(b"s", {0: Data(b"new")}),))
    bad_snapshot = chain_of(image_of(replace(recipe, damage={"snap[0].l1_table_offset": 0x200})))
    assert bad_snapshot.disk().read_at(0, 3) == b"new"
    with pytest.raises(Damaged, match="its L1 table lies at 0x200, no multiple"):
        bad_snapshot.disk("s")
    for damage in ({"hdr.l1_size": 0}, {"hdr.l1_table_offset": 0x200}, {"hdr.size": (1 << 64) - 512}):
        bad_active = chain_of(image_of(replace(recipe, damage=damage)))
        for snapshot, lenient in ((None, False), (None, True), ("s", False)):
            with pytest.raises(Damaged, match="header field"):
                bad_active.disk(snapshot, lenient=lenient)
        assert bad_active.disk("s", lenient=True).read_at(0, 3) == b"old"


@pytest.mark.parametrize("disk_size", [512, 1 << 15, (1 << 15) + 512, 1 << 16, 3 << 15])
@pytest.mark.parametrize("length", [1, 511, 512, 5000])
def test_vm_state(disk_size: int, length: int) -> None:
    state = b"QEVM" + noise(length, length)
    view = chain_of(image_of(vm_recipe(state, disk_size=disk_size))).vm_state("s")
    assert (view.size, read_all(view, 777)) == (len(state), state)
    assert b"".join(map(view.read_extent, view.extents())) == state
    assert view.read_at(2, 10) == state[2:12]
    assert view.read_at(len(state), 10) == b""
    assert not list(view.extents(GuestRange.at(3, 0)))
    agree(view)
    with pytest.raises(ValueError, match="cannot read"):
        view.read_at(-1, 1)
    with pytest.raises(IndexError):
        view.lookup(GuestOffset(view.size))


def test_a_vm_state_that_is_not_there_in_full() -> None:
    view = chain_of(image_of(vm_recipe(b"QEVM", size=(1 << 64) - 1))).vm_state("s")
    assert view.size == (1 << 64) - 1
    assert view.read_at(0, 4) == b"QEVM"
    assert view.lookup(GuestOffset(1 << 50)).past_end
    *_, last = view.extents()
    assert last.past_end
    assert last.guest.end == view.size


def test_a_vm_state_that_nobody_saved() -> None:
    chain = chain_of(image_of(Recipe(Layout(K), {}, (Snapshot(b"s"),))))
    with pytest.raises(BadAddress, match="only its disk was saved"):
        chain.vm_state("s")
    with pytest.raises(BadAddress, match="no snapshot “t”"):
        chain.vm_state("t")


def test_what_version_1_does_not_have(tmp_path: Path) -> None:
    with open_chain(write(tmp_path / "old", V1Recipe(K, {0: b"x"}).build())) as chain:
        assert chain.disk().read_at(0, 1) == b"x"
        assert chain.layer_disk(0).read_at(0, 1) == b"x"
        with pytest.raises(BadAddress, match="version 1 images have none"):
            chain.disk("s")
        with pytest.raises(Unsupported, match="version 1"):
            chain.vm_state("s")
