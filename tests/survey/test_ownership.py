"""Every host byte is something: what the image says about it, checked against what its states really use."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcow2inspect.build.demo import demo_recipe
from qcow2inspect.build.recipe import Compressed, Data, DirtyBitmap, Recipe, Snapshot, build, patch
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.image.address import resolve
from qcow2inspect.image.follow import chain_of
from qcow2inspect.image.image import Image
from qcow2inspect.survey.ownership import Ownership, Purpose
from qcow2inspect.survey.survey import take_survey
from qcow2inspect.units import HostOffset, HostRange
from tests.images import image_of, luks_area, qemu_img, qemu_io, recipes
from tests.rules.recipes import overwritten

_SMALL = Layout(1 << 18, cluster_bits=12)


def ownership_of(image: Image | bytes | Recipe) -> Ownership:
    opened = image if isinstance(image, Image) else image_of(image)
    owners = Ownership.of(take_survey(opened))
    assert owners is not None
    return owners


def used_by_states(image: Image) -> dict[int, set[int]]:
    """Host cluster -> guest clusters of all states, found by reading the disks as a guest does."""
    bits, found = image.geometry.cluster_bits, dict[int, set[int]]()
    chain = chain_of(image)
    for view in (chain.disk(), *(chain.disk(i) for i in range(len(image.snapshots)))):
        for extent in view.extents():
            if extent.host is None:
                continue
            whole = extent.guest.size > image.geometry.cluster_size
            for cluster in range(extent.host.start >> bits, ((extent.host.end - 1) >> bits) + 1):
                step = cluster - (extent.host.start >> bits) if whole else 0
                found.setdefault(cluster, set()).add((extent.guest.start >> bits) + step)
    return found


@settings(max_examples=50, deadline=None)
@given(recipes(), st.data())
def test_data_is_named_by_the_guest_clusters_that_use_it(recipe: Recipe, data: st.DataObject) -> None:
    image = image_of(recipe)
    owners, used = ownership_of(image), used_by_states(image)
    assert list(owners.ranges()) == []
    bits = image.geometry.cluster_bits
    cluster = data.draw(st.integers(0, (int(image.end) - 1) >> bits))
    offset = HostOffset(data.draw(st.integers(cluster << bits, min(image.end, (cluster + 1) << bits) - 1)))
    owner = owners.at(offset, owners._survey.tree.locate(offset))
    assert offset in owner.where
    if cluster in used:
        assert owner.purpose in (Purpose.DATA, Purpose.COMPRESSED)
        named = {int(mapped.guest.start) >> bits for mapped in owners.mapped(offset)}
        assert named <= used[cluster]
        assert named if owner.purpose is Purpose.DATA else len(named) <= 4
    else:
        assert owners.mapped(offset) == []
        assert owner.purpose in (Purpose.STRUCTURE, Purpose.SLACK, Purpose.FREE, Purpose.DATA)


def planted() -> bytearray:
    """An image with leaked clusters at its end and bytes in the slack of header, L1 table and snapshot table."""
    recipe = Recipe(_SMALL, {0: Data(b"a"), 5: Compressed(b"c")}, (Snapshot(b"s", {1: Data(b"b")}),))
    data = bytearray(build(recipe))
    image = image_of(bytes(data))
    data[0xE00:0xE04] = b"hide"
    data[image.l1.range.end + 100] = 1
    data[image.snapshots[0].at + image.snapshots[0].size + 24] = 1
    data.extend(bytes(3 * 4096))
    patch(data, {f"ref[{cluster}]": 1 for cluster in (len(data) // 4096 - 3, len(data) // 4096 - 2)})
    return data


def test_what_nothing_explains_is_found_both_ways() -> None:
    data = planted()
    image = image_of(bytes(data))
    owners = ownership_of(image)
    end = len(data)
    l1, snapshot = int(image.l1.range.end) + 100, image.snapshots[0].at + image.snapshots[0].size + 24
    wanted = sorted([(0xE00, 4), (l1, 1), (snapshot, 1), (end - 3 * 4096, 2 * 4096)])
    expected = [HostRange.at(start, size) for start, size in wanted]
    assert owners.unexplained() == sum(size for _, size in wanted)
    at, forth = 0, []
    while (part := owners.next_unexplained(at, 1)) is not None:
        forth.append(part)
        at = part.start
    back: list[HostRange] = []
    at = end
    while (part := owners.next_unexplained(at, -1)) is not None:
        back.insert(0, part)
        at = part.start
    assert forth == back == expected
    for part in expected:
        owner = owners.at(part.start)
        assert not owner.purpose.explained
        assert part.start in owner.where
    assert owners.at(HostOffset(0xE00)).words == "not zero, in the slack of: header"
    assert owners.at(HostOffset(0xDFF)).purpose is Purpose.SLACK
    assert owners.at(HostOffset(end - 1)).purpose is Purpose.FREE
    assert owners.at(HostOffset(end - 3 * 4096)).words.startswith("leaked: refcount 1")


def test_every_structure_is_named_with_the_states_that_use_it() -> None:
    recipe = Recipe(
        _SMALL, {0: Data(b"a")}, (Snapshot(b"s", {1: Data(b"b")}),), bitmaps=(DirtyBitmap(b"log", dirty=(0, 1)),)
    )
    owners = ownership_of(recipe)
    tree = owners._survey.tree
    paths = ("L1[0]", "snap[0].L1[0]", "L1[0].L2[0]", "ref[0]", "rt[0]", "snap[0]", "bitmap[0]", "bitmap[0].table")
    places = {path: resolve(tree, path) for path in paths}
    words = {path: owners.at(place.offset, place.node).words for path, place in places.items()}
    assert words == {
        "L1[0]": "active L1 table",
        "snap[0].L1[0]": "L1 table of snapshot 1 “s”",
        "L1[0].L2[0]": "L2 table of L1[0]",
        "ref[0]": "refcount block 0",
        "rt[0]": "refcount table",
        "snap[0]": "snapshot table",
        "bitmap[0]": "bitmap directory",
        "bitmap[0].table": "bitmap table of bitmap 0",
    }


def test_a_table_that_two_states_share_names_both() -> None:
    owners = ownership_of(Recipe(_SMALL, {0: Data(b"a")}, (Snapshot(b"s"),)))
    tree = owners._survey.tree
    assert owners.at(resolve(tree, "L1[0].L2").offset).words == "L2 table of L1[0], snap[0].L1[0]"
    data = resolve(tree, "L1[0].L2[0].data").offset
    assert [mapped.states for mapped in owners.mapped(data)] == [("L1[0]", "snap[0].L1[0]")]


def test_an_overwritten_table_is_not_explained() -> None:
    owners = ownership_of(overwritten(b"\0\1" * 2048))
    tables = owners._survey.tables
    assert tables is not None
    at = int(tables.offsets[0])
    assert list(owners.ranges(at, at + 4096)) == [HostRange.at(at, 4096)]
    assert owners.at(HostOffset(at - 1)).purpose is Purpose.LEAKED  # its data: nothing else leads there
    assert owners.at(HostOffset(at)).words == "L2 table of L1[0]; it holds no entries but what looks like refcounts"


def test_a_cluster_of_two_owners_names_both() -> None:
    recipe = Recipe(_SMALL, {0: Data(b"a")}, damage={"L1[0].L2[1]": 3 << 12})
    image = image_of(recipe)
    owner = ownership_of(image).at(HostOffset(3 << 12))
    assert owner.words == "active L1 table and guest data of the active state"


@pytest.mark.parametrize(
    "recipe", [demo_recipe(), Recipe(Layout(1 << 20, crypt_method=CryptMethod.LUKS, luks_header=luks_area()))]
)
def test_sound_images_are_explained(recipe: Recipe) -> None:
    assert ownership_of(recipe).unexplained() == 0


_OPTIONS = [
    "compat=0.10",
    "cluster_size=512",
    "cluster_size=2M",
    "refcount_bits=1",
    "refcount_bits=64",
    "lazy_refcounts=on",
    "extended_l2=on",
    "preallocation=metadata",
    "preallocation=falloc",
    "compression_type=zstd",
]


@pytest.mark.parametrize("options", _OPTIONS)
def test_nothing_of_what_qemu_writes_is_unexplained(options: str, tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, path, "9M")
    qemu_io(path, "write -q -P 1 1M 1M", *(["write -q -z 4M 1M"] if "compat" not in options else []))
    if options != "refcount_bits=1":
        qemu_img("snapshot", "-c", "one", path)
        qemu_io(path, "write -q -P 2 1M 512k")
    image = Image.open(path)
    try:
        assert list(ownership_of(image).ranges()) == []
    finally:
        image.close()
