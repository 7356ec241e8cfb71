"""The cluster map: what belongs to whom, the worst of a cell first, zoom, and the way to the bytes."""

from __future__ import annotations

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
from qcow2inspect.image.mapping import active_mapping, snapshot_mappings
from qcow2inspect.image.tree import Tree
from qcow2inspect.image.view import Window
from qcow2inspect.survey.survey import take_survey
from qcow2inspect.tui import clustermap, nibbles
from qcow2inspect.tui.clustermap import ClusterMap, Count, Entropy, GuestCount, GuestUse, Kind, Mapped, Owner, Use
from qcow2inspect.tui.glyphs import Glyphs
from qcow2inspect.tui.guestmap import make_guest_map
from qcow2inspect.tui.hostmap import Colouring, make_host_map
from qcow2inspect.tui.location import ACTIVE, Location
from qcow2inspect.tui.nibbles import Nibbles
from qcow2inspect.tui.screens.map import MapScreen
from qcow2inspect.tui.theme import Colors, Look
from qcow2inspect.units import GuestOffset, GuestRange
from tests.images import qemu_img, qemu_io, tree_of
from tests.tui.qemu_images import chain_in, encrypted_in
from tests.tui.stage import (
    COLOURED,
    PLAIN,
    check_grid,
    compare_golden,
    explore,
    go,
    guest,
    inspector,
    memory_image,
    playing,
    press,
    segments,
    settle,
    shown,
)

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from qcow2inspect.image.view import View


def the_map(pilot: Pilot[None]) -> MapScreen:
    screen = pilot.app.screen
    assert isinstance(screen, MapScreen)
    return screen


def wide_image(clusters: int = 40_000, bad: int | None = None) -> bytes:
    """An image of 512-byte clusters, of which one may be named twice."""
    data = {index: Data(b"x") for index in range(clusters)}
    recipe = Recipe(Layout(size=clusters * 512, cluster_bits=9), data)
    if bad is None:
        return build(recipe)
    first = Tree(memory_image(build(recipe)))
    target = resolve(first, "L1[0].L2").offset
    return build(Recipe(recipe.layout, data, damage={f"L1[{bad // 64}].L2[{bad % 64}]": 1 << 63 | int(target)}))


def map_of(tree: Tree) -> ClusterMap:
    return make_host_map(take_survey(tree.image))


# -- what belongs to whom --------------------------------------------------------------------------------------------


def slow_map(tree: Tree) -> list[Owner]:
    """The same, cluster by cluster through the extents and the tree."""
    image, size = tree.image, tree.image.geometry.cluster_size
    owners = [Owner.FREE] * -(-image.end // size)

    def claim(owner: Owner, start: int, length: int) -> None:
        for cluster in range(start // size, min(len(owners), -(-(start + length) // size))):
            owners[cluster] = max(owner, owners[cluster])

    for mapping, owner in [(active_mapping(image), Owner.DATA), *((m, Owner.KEPT) for m in snapshot_mappings(image))]:
        claim(Owner.L1, mapping.l1.at, len(mapping.l1) * 8)
        for index in range(len(mapping.l1)):
            at = mapping.l1[index].l2_table_offset
            if not at:
                continue
            claim(Owner.L2, at, size)
            for slot in range(image.geometry.l2_entries):
                node = tree.mapped(mapping).l2_entry(index, slot)
                if node.target is not None:
                    claim(Owner.COMPRESSED if node.state == "compressed" else owner, node.target, 1)
    for index in range(len(image.refcount_table)):
        at = image.refcount_table[index].refcount_block_offset
        claim(Owner.REFCOUNT, at, size if at else 0)
    claim(Owner.REFCOUNT, image.refcount_table.at, len(image.refcount_table) * 8)
    for snapshot in image.snapshots:
        claim(Owner.SNAPSHOT, snapshot.at, snapshot.size)
    claim(Owner.HEADER, 0, 1)
    return owners


@pytest.mark.parametrize(
    "recipe",
    [
        demo_recipe(),
        Recipe(Layout(size=1 << 20, cluster_bits=9), {i: Data(b"d") for i in range(0, 2000, 3)}),
        Recipe(Layout(size=1 << 22, cluster_bits=12), {0: Zero(b"k"), 5: Compressed(b"c"), 900: Data(b"e")}),
        Recipe(Layout(size=1 << 20, cluster_bits=14, extended_l2=True), {0: Data(b"d"), 3: Zero()}),
        Recipe(Layout(size=1 << 20), {0: Data(b"a"), 1: Data(b"b")}, (Snapshot(b"s", {0: Data(b"n")}),)),
    ],
)
def test_every_cluster_has_its_owner(recipe: Recipe) -> None:
    tree = tree_of(recipe)
    made = map_of(tree)
    assert [Owner(owner) for owner in made.owners.part().tolist()] == slow_map(tree)
    assert sum(made.counts().values()) == len(made)


def test_leaks_and_conflicts_are_seen() -> None:
    recipe = Recipe(Layout(size=1 << 20), {0: Data(b"a"), 1: Data(b"b")})
    tree = tree_of(recipe)
    lost = resolve(tree, "L1[0].L2[1].data").offset >> 16
    table = resolve(tree, "L1[0].L2").offset
    leaky = tree_of(Recipe(recipe.layout, recipe.clusters, damage={"L1[0].L2[1]": 0}))
    assert map_of(leaky).owners[lost] == Owner.LEAKED
    clash = tree_of(Recipe(recipe.layout, recipe.clusters, damage={"L1[0].L2[1]": 1 << 63 | int(table)}))
    assert map_of(clash).owners[table >> 16] == Owner.CONFLICT


def test_wild_tables_do_no_harm() -> None:
    for damage in (
        {"hdr.l1_table_offset": 1 << 60},
        {"hdr.l1_size": 0xFFFF_FFFF},
        {"hdr.refcount_table_offset": 0x1234},
        {"hdr.refcount_table_clusters": 0xFFFF_FFFF},
        {"L1[0]": 0x00FF_FFFF_FFFF_FE00},
        {"rt[0]": 0x00FF_FFFF_FFFF_FE00},
        {"L1[0].L2[0]": 0x7FFF_FFFF_FFFF_FFFF},
    ):
        sound = demo_recipe()
        tree = tree_of(Recipe(sound.layout, sound.clusters, sound.snapshots, damage=damage))
        made = map_of(tree)
        assert len(made) == -(-tree.image.end >> 16)


@pytest.mark.oracle
def test_sound_images_of_qemu_have_neither_leaks_nor_conflicts(tmp_path: Path) -> None:
    """Bitmaps, a LUKS header, snapshots: every cluster in use has an owner."""
    for path in (encrypted_in(tmp_path, "luks"), chain_in(tmp_path), tmp_path / "bitmaps.qcow2"):
        if path.name == "bitmaps.qcow2":
            qemu_img("create", "-q", "-f", "qcow2", path, "64M")
            qemu_img("bitmap", "--add", "-g", "64k", path, "dirty")
            qemu_io(path, "write -P 1 0 8M")
        with Image.open(path) as image:
            counts = make_host_map(take_survey(image)).counts()
        assert not counts.keys() & {Owner.LEAKED, Owner.CONFLICT}
        kind = {"luks.qcow2": Owner.LUKS, "top.qcow2": Owner.KEPT, "bitmaps.qcow2": Owner.BITMAP}[path.name]
        assert counts[kind]


def test_encrypted_images_have_a_map() -> None:
    layout = Layout(size=1 << 20, crypt_method=CryptMethod.AES)
    made = map_of(tree_of(Recipe(layout, {0: Data(b"a")}, passphrase=b"x")))
    assert made.counts()[Owner.DATA] == 1


def test_large_files_are_mapped_in_units(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tree_of(demo_recipe())
    fine = map_of(tree)
    monkeypatch.setattr(clustermap, "MOST", 16)
    coarse = map_of(tree_of(demo_recipe()))
    assert coarse.clusters > 1
    assert len(coarse) <= 16
    assert coarse.owners.part().tolist() == fine.worst(0, coarse.clusters, len(coarse)).tolist()


def test_one_bad_cluster_among_many_is_the_cell() -> None:
    owners = np.full(200_000, Owner.DATA, dtype=np.uint8)
    owners[123_456] = Owner.CONFLICT
    made = ClusterMap(Nibbles.of(owners), 1 << 16, 1, 200_000 << 16)
    cells = made.worst(0, 65_536, 10)
    assert [Owner(cell) for cell in cells.tolist()] == [Owner.DATA, Owner.CONFLICT, Owner.DATA, Owner.DATA]
    assert made.worst_unit(65_536, 131_072) == 123_456
    assert made.next_bad(0, 1, frozenset()) == 123_456
    assert made.next_bad(123_456, 1, frozenset({150_000})) == 150_000
    assert made.next_bad(150_000, -1, frozenset()) == 123_456
    assert made.next_bad(123_456, -1, frozenset()) is None


def test_counts_are_those_of_all_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nibbles, "PIECE", 1000)
    owners = np.random.default_rng(1).integers(0, len(Owner), 12_345).astype(np.uint8)
    made = ClusterMap(Nibbles.of(owners), 1 << 16, 1, len(owners) << 16)
    assert made.counts() == {kind: int((owners == kind).sum()) for kind in reversed(Owner)}
    assert made.counts(5, 2500) == {kind: int((owners[5:2500] == kind).sum()) for kind in reversed(Owner)}


def test_the_next_change_of_owner() -> None:
    owners = np.array([5, 5, 2, 2, 2, 0], dtype=np.uint8)
    made = ClusterMap(Nibbles.of(owners), 10, 1, 60)
    assert made.next_change(0, 1) == 20
    assert made.next_change(25, 1) == 50
    assert made.next_change(55, 1) is None
    assert made.next_change(25, -1) == 20
    assert made.next_change(20, -1) == 0
    assert made.next_change(0, -1) is None


# -- refcounts and states ------------------------------------------------------------------------------------------


def kinds_of(tree: Tree, colouring: Colouring) -> list[Kind]:
    made = make_host_map(take_survey(tree.image), colouring=colouring)
    return [made.kinds(owner) for owner in made.owners.part().tolist()]


def test_refcounts_are_told_and_wrong_ones_are_trouble() -> None:
    """Snapshots count what they share; a refcount that is not what leads to the cluster stands out."""
    snapshots = tuple(Snapshot(b"s%d" % index, {}) for index in range(4))
    tree = tree_of(Recipe(Layout(size=1 << 20), {0: Data(b"a"), 1: Data(b"b")}, snapshots))
    image = tree.image
    kinds = kinds_of(tree, Colouring.REFCOUNT)
    stored = [image.refcount(at) for at in range(len(kinds))]
    names = {0: Count.NONE, 1: Count.ONE, 2: Count.TWO, 3: Count.THREE}
    assert kinds == [names.get(count, Count.FEW) for count in stored]
    damage = {"ref[0]": 2, "ref[1]": 0}
    wrong = kinds_of(tree_of(Recipe(Layout(size=1 << 20), {0: Data(b"a")}, damage=damage)), Colouring.REFCOUNT)
    assert wrong[:3] == [Count.HIGH, Count.LOW, Count.ONE]


def users(tree: Tree) -> dict[int, tuple[int, int]]:
    """Host cluster -> by how many states it is needed: 0 or 1 active, and snapshots; entry by entry."""
    image, size = tree.image, tree.image.geometry.cluster_size
    found: dict[int, tuple[int, int]] = {}
    for number, mapping in enumerate((active_mapping(image), *snapshot_mappings(image))):
        needed = set(range(mapping.l1.at // size, -(-(mapping.l1.at + len(mapping.l1) * 8) // size)))
        for index in range(len(mapping.l1)):
            at = mapping.l1[index].l2_table_offset
            if at:
                entries = (tree.mapped(mapping).l2_entry(index, slot) for slot in range(image.geometry.l2_entries))
                needed |= {at // size, *(entry.target // size for entry in entries if entry.target is not None)}
        for cluster in needed:
            active, snapshots = found.get(cluster, (0, 0))
            found[cluster] = (active + (number == 0), snapshots + (number > 0))
    return found


def use_of(active: int, snapshots: int) -> Use:
    if active:
        return Use.SHARED if snapshots else Use.ACTIVE
    return Use.SEVERAL if snapshots > 1 else Use.SNAPSHOT


def test_the_states_that_need_a_cluster() -> None:
    """Data, L1 and L2 tables belong to states; the rest is of the file, or free."""
    before: dict[int, Cluster] = {0: Data(b"a"), 1: Data(b"b"), 2: Data(b"c"), 200: Data(b"d"), 300: Zero(b"kept")}
    then: tuple[dict[int, Cluster], ...] = (
        {0: Data(b"1")},
        {1: Data(b"2"), 0: Data(b"3")},
        {200: Data(b"4"), 400: Data(b"5")},
    )
    snapshots = tuple(Snapshot(b"s%d" % index, clusters) for index, clusters in enumerate(then))
    tree = tree_of(Recipe(Layout(size=1 << 21, cluster_bits=12), before, snapshots))
    needed = users(tree)
    kinds = kinds_of(tree, Colouring.STATE)
    assert {Use.ACTIVE, Use.SHARED, Use.SEVERAL, Use.SNAPSHOT, Use.FILE} <= set(kinds)
    for cluster, kind in enumerate(kinds):
        if cluster in needed:
            assert kind is use_of(*needed[cluster]), cluster
        else:
            assert kind is (Use.FILE if tree.image.refcount(cluster) else Use.NONE), cluster


def test_states_where_something_is_wrong() -> None:
    recipe = Recipe(Layout(size=1 << 20), {0: Data(b"a"), 1: Data(b"b"), 2: Compressed(b"c")})
    tree = tree_of(recipe)
    lost = resolve(tree, "L1[0].L2[1].data").offset >> 16
    table = resolve(tree, "L1[0].L2").offset
    packed = resolve(tree, "L1[0].L2[2].data").offset >> 16
    assert kinds_of(tree, Colouring.STATE)[packed] is Use.ACTIVE
    assert kinds_of(tree_of(demo_recipe()), Colouring.STATE).count(Use.PACKED) > 0
    leaky = tree_of(Recipe(recipe.layout, recipe.clusters, damage={"L1[0].L2[1]": 0}))
    assert kinds_of(leaky, Colouring.STATE)[lost] is Use.LEAKED
    clash = tree_of(Recipe(recipe.layout, recipe.clusters, damage={"L1[0].L2[1]": 1 << 63 | int(table)}))
    assert kinds_of(clash, Colouring.STATE)[table >> 16] is Use.CONFLICT


@pytest.mark.parametrize("kinds", [Owner, Count, Use, Mapped, GuestCount, GuestUse, Entropy])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_kinds_have_words_and_signs_of_their_own(kinds: type[Kind], ascii_only: bool) -> None:
    glyphs = Glyphs(ascii_only=ascii_only)
    assert all(kind.word and glyphs.has(kind.role) for kind in kinds)
    assert len({glyphs[kind.role] for kind in kinds}) == len({kind.word for kind in kinds}) == len(kinds)
    assert max(kinds).is_trouble


# -- guest order -----------------------------------------------------------------------------------------------------


def slow_guest(tree: Tree) -> list[Mapped]:
    """The type of each guest cluster of the active state, entry by entry."""
    geometry, mapping = tree.image.geometry, active_mapping(tree.image)
    names = {"normal": Mapped.DATA, "compressed": Mapped.COMPRESSED}
    names |= {"zero-plain": Mapped.ZERO_PLAIN, "zero-alloc": Mapped.ZERO_ALLOC, "unallocated": Mapped.UNALLOCATED}
    found = []
    for cluster in range(-(-tree.image.header.size // geometry.cluster_size)):
        index, slot = divmod(cluster, geometry.l2_entries)
        known = index < len(mapping.l1) and mapping.l1[index].l2_table_offset
        found.append(names[tree.mapped(mapping).l2_entry(index, slot).state] if known else Mapped.UNALLOCATED)
    return found


@pytest.mark.parametrize(
    "recipe",
    [demo_recipe(), Recipe(Layout(size=(1 << 20) + 512, cluster_bits=9), {i: Data(b"d") for i in (0, 9, 2048)})],
)
def test_every_guest_cluster_has_its_type(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tree_of(recipe)
    size = tree.image.geometry.cluster_size
    made = make_guest_map(tree.image.active_disk(), size)
    assert [Mapped(kind) for kind in made.owners.part().tolist()] == slow_guest(tree)
    assert (made.unit, made.clusters, made.end) == (size, 1, tree.image.header.size)
    monkeypatch.setattr(clustermap, "MOST", 64)
    coarse = make_guest_map(tree.image.active_disk(), size)
    assert 1 < len(coarse) <= 64
    assert coarse.owners.part().tolist() == made.worst(0, coarse.clusters, len(coarse)).tolist()


def test_guest_clusters_that_cannot_be_read_are_the_worst() -> None:
    recipe = Recipe(Layout(size=1 << 20), {0: Data(b"a"), 1: Data(b"b"), 2: Compressed(b"c")})
    damage = {"L1[0].L2[0]": 1 << 63 | 0x1234_0200, "L1[0].L2[1]": 1 << 63 | 1 << 40}
    image = tree_of(Recipe(recipe.layout, recipe.clusters, damage=damage)).image
    made = make_guest_map(image.active_disk(lenient=True), 1 << 16)
    assert made.owners.part().tolist()[:4] == [Mapped.UNREADABLE, Mapped.MISSING, Mapped.COMPRESSED, Mapped.UNALLOCATED]
    assert made.next_bad(0, 1, frozenset()) == 1


def through_extents(view: View, size: int, counted: ClusterMap | None = None, *, elsewhere: bool = False) -> ClusterMap:
    """The same without the short way by columns: a view in which nothing is known but its extents."""
    whole = Window(view, GuestRange.at(0, view.size), "all of it")
    return make_guest_map(whole, size, counted=counted, elsewhere=elsewhere)


_MIXED: dict[int, Cluster] = {
    **{index: Data(b"d") for index in range(0, 120, 3)},
    **{index: Compressed(b"c%d" % index) for index in range(1, 60, 3)},
    5: Zero(),
    8: Zero(b"kept"),
    900: Data(b"e"),
}


@pytest.mark.parametrize(
    "recipe",
    [
        demo_recipe(),
        damaged_recipe(),
        Recipe(Layout(size=(1 << 20) + 512, cluster_bits=9), {i: Data(b"d") for i in (0, 9, 2048)}),
        Recipe(Layout(size=1 << 22, cluster_bits=12), _MIXED, (Snapshot(b"s", {0: Data(b"n"), 7: Data(b"m")}),)),
        Recipe(Layout(size=1 << 22, cluster_bits=12), _MIXED, damage={"L1[1]": 1 << 63 | 0x1200, "L1[0].L2[3]": 1}),
        Recipe(Layout(size=1 << 22, cluster_bits=12), _MIXED, damage={"L1[0].L2[3]": 1 << 63 | 1 << 40}),
        Recipe(Layout(size=1 << 22, cluster_bits=12), _MIXED, damage={"L1[0].L2[3]": 1 << 63 | 0x7200}),
        Recipe(Layout(size=1 << 22, cluster_bits=12, version=2), {0: Data(b"a")}, damage={"L1[0].L2[9]": 1}),
        Recipe(Layout(size=1 << 20, cluster_bits=14, extended_l2=True), {0: Data(b"d"), 3: Zero()}),
        Recipe(Layout(size=1 << 20, crypt_method=CryptMethod.AES), {0: Data(b"a")}, passphrase=b"x"),
    ],
    ids=lambda recipe: f"{recipe.layout.cluster_bits}-{sorted(recipe.damage)}",
)
@pytest.mark.parametrize("most", [None, 32])
def test_columns_and_extents_say_the_same(recipe: Recipe, most: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tree_of(recipe).image
    survey, size = take_survey(image), image.geometry.cluster_size
    counted = [None, *(make_host_map(survey, colouring=way) for way in (Colouring.REFCOUNT, Colouring.STATE))]
    if most is not None:
        monkeypatch.setattr(clustermap, "MOST", most)
    chain = chain_of(image)
    for view in (chain.disk(which, lenient=True) for which in (None, *range(len(image.snapshots)))):
        for way in counted:
            quick, slow = make_guest_map(view, size, counted=way), through_extents(view, size, way)
            assert quick.owners.part().tolist() == slow.owners.part().tolist()
            assert (quick.kinds, quick.told, quick.is_guest) == (slow.kinds, slow.told, True)


def test_refcounts_and_states_in_guest_order_are_those_of_the_host_clusters() -> None:
    since = Snapshot(b"s", {1: Data(b"n")})
    tree = tree_of(Recipe(Layout(1 << 20), {0: Data(b"a"), 1: Data(b"b"), 2: Compressed(b"c"), 3: Zero()}, (since,)))
    survey = take_survey(tree.image)
    counts = make_host_map(survey, colouring=Colouring.REFCOUNT)
    made = make_guest_map(tree.image.active_disk(), 1 << 16, counted=counts)
    for index in (0, 1, 2):
        cluster = resolve(tree, f"L1[0].L2[{index}].data").offset >> 16
        wanted = {1: GuestCount.ONE, 2: GuestCount.TWO}[tree.image.refcount(cluster)]
        assert made.owners[index] == wanted
    assert set(made.owners.part().tolist()[3:]) == {GuestCount.UNSTORED}
    uses = make_guest_map(tree.image.active_disk(), 1 << 16, counted=make_host_map(survey, colouring=Colouring.STATE))
    assert uses.owners.part().tolist()[:4] == [GuestUse.SHARED, GuestUse.ACTIVE, GuestUse.PACKED, GuestUse.UNSTORED]
    other = make_guest_map(tree.image.active_disk(), 1 << 16, counted=counts, elsewhere=True)
    assert other.owners.part().tolist()[:4] == [GuestCount.ELSEWHERE] * 3 + [GuestCount.UNSTORED]


@pytest.mark.oracle
async def test_what_lies_behind_is_counted_elsewhere(tmp_path: Path) -> None:
    async with playing(chain_in(tmp_path), gate=OpenGate(Follow.FOLDER)) as pilot:
        await press(pilot, "3", "s", "t")
        made = the_map(pilot).grid.map
        assert made is not None
        assert made.owners.part().tolist()[:3] == [GuestCount.ELSEWHERE, GuestCount.ELSEWHERE, GuestCount.ONE]
        assert "another file" in shown(pilot.app)


# -- the screen ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
async def test_golden_map(size: tuple[int, int], look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    async with playing(memory_image(build(damaged_recipe())), size=size, look=look) as pilot:
        await press(pilot, "3", "right", "right")
        check_grid(pilot.app, size)
        await compare_golden(pilot, f"map-{size[0]}x{size[1]}{'-plain' if look is PLAIN else ''}")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("keys", ["t", "tt"], ids=["refcount", "snapshot"])
async def test_golden_colours(size: tuple[int, int], keys: str) -> None:
    async with playing(memory_image(build(damaged_recipe())), size=size) as pilot:
        await press(pilot, "3", "right", "right", *keys)
        check_grid(pilot.app, size)
        await compare_golden(pilot, f"map-{'refcount' if keys == 't' else 'snapshot'}-{size[0]}x{size[1]}")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("keys", ["", "t", "tt"], ids=["type", "refcount", "snapshot"])
@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
async def test_golden_guest_order(
    size: tuple[int, int], keys: str, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    name = {"": "map-guest", "t": "map-guest-refcount", "tt": "map-guest-snapshot"}[keys]
    async with playing(memory_image(build(damaged_recipe())), size=size, look=look) as pilot:
        await press(pilot, "3", "s", "right", "right", *keys)
        check_grid(pilot.app, size)
        await compare_golden(pilot, f"{name}-{size[0]}x{size[1]}{'-plain' if look is PLAIN else ''}")


async def test_guest_order_and_back_on_the_same_bytes() -> None:
    async with playing(memory_image()) as pilot:
        session = inspector(pilot).session
        await go(pilot, "L1[0].L2[42].data")
        host = explore(pilot).hex.at
        await press(pilot, "3", "s")
        grid = the_map(pilot).grid
        assert grid.map is not None
        assert grid.map.is_guest
        assert grid.at == 42
        assert len(grid.map) == session.image.header.size >> 16
        for kinds in (GuestCount, GuestUse, Entropy, Mapped):
            await press(pilot, "t")
            assert grid.map.kinds is kinds
            assert (grid.map.is_guest, grid.at) == (True, 42)
        await press(pilot, "s")
        assert not grid.map.is_guest
        assert grid.at == host >> 16
        await press(pilot, "s", "right", "right", "enter")
        assert (guest(pilot).hex.guest, session.state) == (44 << 16, ACTIVE)
        await press(pilot, "less_than_sign")
        assert the_map(pilot).grid.at == 44
        await go(pilot, "map: @snap[0] G0x90000")
        assert the_map(pilot).here == Location(mode="map", guest=GuestOffset(0x90000), state=session.state)
        assert session.state.kind == "snapshot"
        assert grid.map.counts()[Mapped.DATA] > 0
        await press(pilot, "less_than_sign")
        assert the_map(pilot).here.state == ACTIVE == session.state


async def test_a_guest_disk_that_cannot_be_told_has_no_map() -> None:
    recipe = demo_recipe()
    data = build(Recipe(recipe.layout, recipe.clusters, damage={"hdr.l1_table_offset": 0x1234}))
    async with playing(memory_image(data)) as pilot:
        await press(pilot, "3", "s")
        grid = the_map(pilot).grid
        assert grid.map is None
        assert "no map:" in shown(pilot.app)
        await press(pilot, "right", "down", "n", "plus", "t", "s")
        assert grid.map is not None
        assert not grid.map.is_guest


async def test_another_state_is_another_map() -> None:
    async with playing(memory_image()) as pilot:
        session = inspector(pilot).session
        await press(pilot, "3", "s")
        await go(pilot, "@snap[0] G0")
        await press(pilot, "3")
        assert the_map(pilot).here.state == session.state
        assert f"map of {session.state.title}" in shown(pilot.app)


async def test_colours_change_in_turn_and_the_worst_is_seen_in_each() -> None:
    async with playing(memory_image(wide_image(bad=33_000)), size=(80, 24)) as pilot:
        await press(pilot, "3")
        grid = the_map(pilot).grid
        kept = (grid.at, grid.per_cell)
        for told, kinds in (("refcount", Count), ("snapshot", Use), ("type", Owner)):
            await press(pilot, *"tt" if kinds is Owner else "t")
            assert grid.map is not None
            assert (grid.map.kinds, kept) == (kinds, (grid.at, grid.per_cell))
            assert f"map by {told}" in shown(pilot.app)
            assert max(kind for kind in grid.map.counts()).is_trouble
            trouble = [
                unit for unit, owner in enumerate(grid.map.owners.part().tolist()) if grid.map.kinds(owner).is_trouble
            ]
            cells = grid.map.worst(0, grid.per_cell, grid.cell_count)
            assert all(grid.map.kinds(int(cells[unit // grid.per_cell])).is_trouble for unit in trouble)


async def test_enter_explores_and_back() -> None:
    async with playing(memory_image()) as pilot:
        await press(pilot, "3", "right", "right", "right", "enter")
        assert explore(pilot).hex.at == 0x30000
        await press(pilot, "less_than_sign")
        assert the_map(pilot).grid.at == 3
        await press(pilot, "end")
        assert the_map(pilot).grid.at == 70
        await press(pilot, "home", "left")
        assert the_map(pilot).grid.at == 0


async def test_the_map_follows_the_bytes() -> None:
    async with playing(memory_image()) as pilot:
        await go(pilot, "c40")
        await press(pilot, "3")
        assert the_map(pilot).grid.at == 40
        await press(pilot, "2")
        await go(pilot, "c50")
        await press(pilot, "3")
        assert the_map(pilot).grid.at == 50
        await press(pilot, "less_than_sign")
        assert explore(pilot).hex.at == 50 << 16


async def test_trouble_is_found_and_explored_at_its_bytes() -> None:
    async with playing(memory_image(build(damaged_recipe()))) as pilot:
        findings = inspector(pilot).session.knowledge.findings
        clusters = sorted({e.where.start >> 16 for f in findings if f.severity.is_bad for e in f.evidence})
        await press(pilot, "3")
        for cluster in clusters[1:]:
            await press(pilot, "n")
            assert the_map(pilot).grid.at == cluster
        await press(pilot, "n")
        assert the_map(pilot).grid.at == clusters[-1]
        await press(pilot, "N")
        assert the_map(pilot).grid.at == clusters[-2]


async def test_zoom_keeps_the_cursor_and_shows_the_worst() -> None:
    async with playing(memory_image(wide_image(bad=33_000)), size=(80, 24)) as pilot:
        await press(pilot, "3")
        screen = the_map(pilot)
        grid = screen.grid
        coarse = grid.per_cell
        assert coarse > 1
        assert grid.halves == 2
        assert "conflict" in shown(pilot.app)
        await press(pilot, "n")
        at = grid.at
        assert grid.map is not None
        assert at in grid.bad or grid.map.owners[at] >= Owner.LEAKED
        await press(pilot, "plus")
        assert grid.per_cell < coarse
        assert grid.at == at
        assert grid.top <= grid.cursor < grid.top + grid.height
        for _ in range(6):
            await press(pilot, "plus")
        assert grid.per_cell == 1
        for _ in range(9):
            await press(pilot, "minus")
        assert grid.per_cell == coarse
        await press(pilot, "down", "down", "up", "pagedown", "pageup", "right", "left")
        check_grid(pilot.app, (80, 24))
        assert 0 <= grid.at < len(grid.map)
        for size in ((200, 60), (40, 12), (80, 24)):
            await pilot.resize_terminal(*size)
            await settle(pilot)
            check_grid(pilot.app, size)


async def test_cells_are_in_two_colours_or_signs() -> None:
    data = wide_image(20_000)
    async with playing(memory_image(data), size=(80, 24)) as pilot:
        await press(pilot, "3", "end")
        colours = {
            s.style.bgcolor.name for row in segments(pilot.app)[1:12] for s in row if s.style and s.style.bgcolor
        }
        assert COLOURED.solid("data") in colours
    ansi = Look(Colors.ANSI, Glyphs())
    async with playing(memory_image(data), size=(80, 24), look=ansi) as pilot:
        await press(pilot, "3")
        check_grid(pilot.app, (80, 24))
    async with playing(memory_image(data), size=(80, 24), look=PLAIN) as pilot:
        await press(pilot, "3")
        assert "2" in shown(pilot.app).split("\n")[3]
        assert shown(pilot.app).isascii()


@pytest.mark.parametrize("size", [(20, 6), (40, 12), (60, 24), (116, 16), (300, 100)])
async def test_every_size_works(size: tuple[int, int]) -> None:
    async with playing(memory_image(), size=size) as pilot:
        for key in [
            "3",
            "t",
            "s",
            "right",
            "s",
            "down",
            "end",
            "plus",
            "minus",
            "tab",
            "down",
            "tab",
            "n",
            "4",
            "tab",
            "f",
            "escape",
        ]:
            await press(pilot, key)
            check_grid(pilot.app, size)
