"""The map by entropy: sampled, lazily, of the bytes as they are stored."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from qcow2inspect.build.demo import damaged_recipe, demo_recipe
from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Snapshot, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.image.address import resolve
from qcow2inspect.image.follow import chain_of
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.progress import Cancelled, Silent
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.tui import clustermap, entropy
from qcow2inspect.tui.clustermap import Entropy
from qcow2inspect.tui.entropy import (
    CLUSTERS_OF_A_CELL,
    SAMPLE,
    EntropyMap,
    Spot,
    bits_of,
    kind_of,
    make_entropy_map,
    sample,
    stored_for_guest,
    stored_on_host,
)
from qcow2inspect.tui.location import GuestState
from qcow2inspect.tui.screens.map import MapScreen
from qcow2inspect.tui.session import Session
from qcow2inspect.units import HostRange
from tests.tui.qemu_images import chain_in
from tests.tui.stage import (
    COLOURED,
    PLAIN,
    check_grid,
    compare_golden,
    memory_image,
    playing,
    press,
    settle,
    shown,
    tap,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.pilot import Pilot

    from qcow2inspect.tui.theme import Look

NOISE = random.Random(3).randbytes(1 << 16)
CLUSTER = 1 << 16


class Watched(MemorySource):
    """Bytes in memory that remember what was read of them."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads: list[tuple[int, int]] = []

    def read_at(self, offset: int, size: int) -> bytes:
        self.reads.append((int(offset), size))
        return super().read_at(offset, size)


def all_of(session: Session, *, is_guest: bool = False) -> EntropyMap:
    """The map with every cluster looked at, one to a cell."""
    view = session.view()
    end = view.size if is_guest else session.image.end
    made = make_entropy_map(end, session.image.geometry.cluster_size, is_guest=is_guest)
    stored = stored_for_guest(session, view, made) if is_guest else stored_on_host(session, made)
    sample(made, Spot(0, 1, len(made)), stored, Silent())
    return made


# -- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [512, 1024, 4096, 65536])
def test_noise_has_eight_bits_however_short_it_is(size: int) -> None:
    assert bits_of(NOISE[:size]) > 7.7
    assert kind_of(NOISE[:size]) is Entropy.DENSE


@pytest.mark.parametrize(
    ("data", "bits"),
    [(b"a" * 4096, 0.0), (b"ab" * 2048, 1.0), (bytes(range(16)) * 256, 4.0), (bytes(range(256)) * 16, 8.0)],
)
def test_the_entropy_of_known_bytes(data: bytes, bits: float) -> None:
    assert bits_of(data) == pytest.approx(bits, abs=0.03)


def test_kinds_are_in_order_and_none_is_left_out() -> None:
    kinds = [kind_of(bytes(random.Random(n).choices(range(n), k=4096))) for n in (1, 2, 10, 40, 100, 256)]
    assert kinds == [Entropy.ZEROS, Entropy.SPARSE, Entropy.SPARSE, Entropy.TEXT, Entropy.MIXED, Entropy.DENSE]
    assert kind_of(b"\1" + bytes(4095)) is Entropy.CONSTANT
    assert (kind_of(b""), kind_of(None)) == (Entropy.ZEROS, Entropy.UNREADABLE)
    assert set(entropy.MEANINGS) == set(Entropy) - {Entropy.UNREAD, Entropy.ZEROS, Entropy.UNREADABLE}


@pytest.mark.parametrize("per_cell", [1, 2, 3, 4, 7, 1000])
def test_each_cell_gets_its_samples_one_after_the_other(per_cell: int) -> None:
    cells, start = 5, 3 * per_cell
    units = list(Spot(start, per_cell, cells).units(start + 5 * per_cell - per_cell // 2))
    assert len(units) == cells * min(CLUSTERS_OF_A_CELL, per_cell)
    known = [unit for unit in units if unit is not None]
    assert len(set(known)) == len(known)
    first = units[: cells - 1]
    assert [(unit - start) // per_cell for unit in first if unit is not None] == list(range(cells - 1))


# -- what is read ----------------------------------------------------------------------------------------------------


def test_bytes_are_taken_as_they_are_stored_and_few_are_read() -> None:
    recipe = Recipe(Layout(1 << 20), {0: Data(NOISE), 1: Data(b"a" * CLUSTER), 2: Data(bytes(CLUSTER))})
    source = Watched(build(recipe))
    session = Session.of(Image(source))
    places = [resolve(session.tree, f"L1[0].L2[{index}].data").offset // CLUSTER for index in range(3)]
    source.reads.clear()
    made = all_of(session)
    assert [made.owners[place] for place in places] == [Entropy.DENSE, Entropy.CONSTANT, Entropy.ZEROS]
    assert sum(size for _, size in source.reads) <= len(made) * SAMPLE
    noise = [offset for offset, _ in source.reads if offset // CLUSTER == places[0]]
    assert noise[0] % CLUSTER == 0
    assert noise[-1] % CLUSTER == CLUSTER - SAMPLE // 4
    assert made.sampled == len(made) == sum(made.counts().values())
    count = len(source.reads)
    sample(made, Spot(0, 1, len(made)), stored_on_host(session, made), Silent())
    assert len(source.reads) == count  # nothing twice


def test_holes_and_zeros_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.qcow2"
    path.write_bytes(build(Recipe(Layout(1 << 30), {0: Data(b"a")})))
    with path.open("r+b") as file:
        file.truncate(1 << 30)
    session = Session.of(Image.open(path))
    made = make_entropy_map(session.image.end, CLUSTER, is_guest=False)
    sizes: list[int] = []
    read = session.image.source.read_at
    session.image.source.read_at = lambda offset, size: sizes.append(size) or read(offset, size)  # type: ignore[method-assign, func-returns-value]
    sample(made, Spot(0, 1, len(made)), stored_on_host(session, made), Silent())
    assert made.counts()[Entropy.ZEROS] > len(made) - 20
    assert len(sizes) < 20 * 4
    session.close()

    source = Watched(build(Recipe(Layout(1 << 20), {0: Zero(), 1: Zero(b"kept")})))
    session = Session.of(Image(source))
    session.view().read_at(0, 1)  # the tables are known
    source.reads.clear()
    made = all_of(session, is_guest=True)
    assert made.counts() == {Entropy.ZEROS: 16}
    assert source.reads == []


def test_guest_order_looks_at_what_is_stored() -> None:
    text = b"compresses well. " * 4000
    clusters: dict[int, Cluster] = {0: Data(NOISE), 3: Compressed(text[:CLUSTER]), 5: Data(b"x" * CLUSTER)}
    since = Snapshot(b"s", {5: Data(text[:CLUSTER])})
    session = Session.of(memory_image(build(Recipe(Layout(1 << 20), clusters, (since,)))))
    made = all_of(session, is_guest=True)
    assert made.is_guest
    kinds = made.owners.part().tolist()
    stream = resolve(session.tree, "L1[0].L2[3].data")
    stored = session.image.source.read_at(stream.offset, stream.node.where.size)
    assert kinds[0] == Entropy.DENSE
    assert kinds[3] == kind_of(stored[:SAMPLE])
    assert kinds[5] == Entropy.SPARSE
    assert kinds[1] == kinds[15] == Entropy.ZEROS
    session.state = GuestState("snapshot", 0, "s")
    assert all_of(session, is_guest=True).owners[5] == Entropy.CONSTANT


def test_encrypted_clusters_are_noise_with_or_without_the_key() -> None:
    layout = Layout(size=1 << 20, crypt_method=CryptMethod.AES)
    session = Session.of(memory_image(build(Recipe(layout, {0: Data(bytes(range(64)) * 1024)}, passphrase=b"x"))))
    assert all_of(session, is_guest=True).owners[0] == Entropy.DENSE
    session.chain.layers[0].unlock(b"x")
    session.forget_view()
    assert all_of(session, is_guest=True).owners[0] == Entropy.DENSE


def test_what_is_not_there_cannot_be_read() -> None:
    recipe = Recipe(Layout(1 << 20), {0: Data(b"a"), 1: Data(b"b")}, damage={"L1[0].L2[1]": 1 << 63 | 1 << 40})
    session = Session.of(memory_image(build(recipe)))
    assert all_of(session, is_guest=True).owners[1] == Entropy.UNREADABLE


def test_subclusters_are_looked_at_where_they_are_stored() -> None:
    layout = Layout(size=1 << 20, cluster_bits=14, extended_l2=True)
    session = Session.of(memory_image(build(Recipe(layout, {0: Data(NOISE[: 1 << 14]), 3: Zero()}))))
    kinds = all_of(session, is_guest=True).owners.part().tolist()
    assert kinds[0] == Entropy.DENSE
    assert set(kinds[1:]) == {Entropy.ZEROS}


@pytest.mark.oracle
def test_backing_files_are_looked_at_in_their_own_file(tmp_path: Path) -> None:
    path = chain_in(tmp_path)
    session = Session.of(Image.open(path))
    session.take(chain_of(session.image, OpenGate(Follow.FOLDER)))
    view, cluster = session.view(), session.image.geometry.cluster_size
    made = all_of(session, is_guest=True)
    behind = [e for e in view.extents() if e.layer and e.host and not e.reads_as_zero]
    assert behind
    for extent in behind:
        data = view.read_at(extent.guest.start, min(SAMPLE, extent.guest.size))
        assert (made.owners[extent.guest.start // cluster] == Entropy.ZEROS) == (data.count(0) == len(data))
    session.close()


def test_a_large_disk_is_looked_at_in_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustermap, "MOST", 16)
    made = make_entropy_map(1 << 22, CLUSTER, is_guest=True)
    assert (len(made), made.clusters, made.unit) == (16, 4, 4 * CLUSTER)


def test_the_user_can_stop() -> None:
    session = Session.of(memory_image())
    made = make_entropy_map(session.image.end, CLUSTER, is_guest=False)

    class Stopping(Silent):
        def advance(self, amount: int) -> None:
            if made.sampled >= 5:
                raise Cancelled

    with pytest.raises(Cancelled):
        sample(made, Spot(0, 1, len(made)), stored_on_host(session, made), Stopping())
    assert made.sampled == 5


def test_the_highest_sample_of_a_cell_counts() -> None:
    made = make_entropy_map(1000 * CLUSTER, CLUSTER, is_guest=False)
    sample(made, Spot(0, 100, 10), lambda unit: NOISE[:SAMPLE] if unit == 487 else b"", Silent())
    assert [Entropy(kind) for kind in made.worst(0, 100, 10).tolist()].count(Entropy.DENSE) == 1
    assert made.counts() == {Entropy.DENSE: 1, Entropy.ZEROS: 39}
    assert made.counts(400, 500) == {Entropy.DENSE: 1, Entropy.ZEROS: 3, Entropy.UNREAD: 96}


# -- the screen ------------------------------------------------------------------------------------------------------


def the_map(pilot: Pilot[None]) -> MapScreen:
    screen = pilot.app.screen
    assert isinstance(screen, MapScreen)
    return screen


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
async def test_golden_entropy(size: tuple[int, int], look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    async with playing(memory_image(build(damaged_recipe())), size=size, look=look) as pilot:
        await press(pilot, "3", "t", "t", "t")
        check_grid(pilot.app, size)
        await compare_golden(pilot, f"map-entropy-{size[0]}x{size[1]}{'-plain' if look is PLAIN else ''}")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_golden_entropy_in_guest_order(size: tuple[int, int]) -> None:
    async with playing(memory_image(build(demo_recipe())), size=size) as pilot:
        await press(pilot, "3", "s", "t", "t", "t")
        check_grid(pilot.app, size)
        await compare_golden(pilot, f"map-guest-entropy-{size[0]}x{size[1]}")


def many_clusters() -> bytes:
    data = {index: Data(b"x" * 512) for index in range(20_000)}
    return build(Recipe(Layout(size=20_000 * 512, cluster_bits=9), data))


async def test_only_what_is_in_sight_is_looked_at() -> None:
    async with playing(memory_image(many_clusters()), size=(80, 24)) as pilot:
        await press(pilot, "3", "t", "t", "t")
        screen = the_map(pilot)
        made = screen.grid.map
        assert isinstance(made, EntropyMap)
        assert made.sampled < len(made) // 2
        assert "map by entropy (sampled)" in shown(pilot.app)
        first = made.sampled
        await press(pilot, "minus")
        assert made.sampled == first  # all of it is in sight already
        await press(pilot, "plus", "plus")
        assert first < made.sampled < len(made)
        finer = made.sampled
        spot = screen.grid.spot
        assert np.count_nonzero(made.owners.part(spot.start, spot.start + spot.cells * spot.per_cell)) == min(
            spot.cells, len(made) - spot.start
        ) * min(4, spot.per_cell)
        await press(pilot, "end")
        assert made.sampled > finer
        await press(pilot, "t")
        assert screen.grid.map is not made


async def test_sampling_stops_at_escape_and_keys_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    go_on, asked = threading.Event(), threading.Event()
    whole = entropy.stored_on_host

    def slow(session: Session, made: EntropyMap):  # type: ignore[no-untyped-def]
        read = whole(session, made)

        def wait(unit: int) -> bytes | None:
            if made.sampled >= 3:
                asked.set()
                go_on.wait(20)
            return read(unit)

        return wait

    monkeypatch.setattr(entropy, "stored_on_host", slow)
    async with playing(memory_image(), size=(80, 24)) as pilot:
        await press(pilot, "3", "t", "t")
        await tap(pilot, "t")
        while not asked.is_set():
            await pilot.pause(0.01)
        screen = the_map(pilot)
        await tap(pilot, "right", "right")
        assert screen.grid.at == 2  # no key waits
        await tap(pilot, "escape")
        go_on.set()
        await settle(pilot)
        made = screen.grid.map
        assert isinstance(made, EntropyMap)
        assert 3 <= made.sampled <= 4
        assert "sampling stopped" in shown(pilot.app)
        await press(pilot, "t", "t", "t", "t")
        assert isinstance(screen.grid.map, EntropyMap)
        assert screen.grid.map.sampled == len(screen.grid.map)


class Broken(MemorySource):
    """A medium that fails from some place on."""

    fails = False

    def read_at(self, offset: int, size: int) -> bytes:
        from qcow2inspect.errors import CannotRead

        if self.fails:
            raise CannotRead("a bad sector")
        return super().read_at(offset, size)

    def data_ranges(self, within: HostRange) -> Iterator[HostRange]:
        yield within


def test_bad_sectors_are_told() -> None:
    source = Broken(build(demo_recipe()))
    session = Session.of(Image(source))
    _ = Tree(session.image).top
    source.fails = True
    made = make_entropy_map(session.image.end, CLUSTER, is_guest=False)
    sample(made, Spot(0, 1, len(made)), stored_on_host(session, made), Silent())
    assert made.counts() == {Entropy.UNREADABLE: len(made)}
