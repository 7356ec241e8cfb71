"""The tree and the way back: every node has an address that leads to it, every byte has an owner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Snapshot, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import BadAddress
from qcow2inspect.image.address import resolve
from qcow2inspect.image.tree import Tree
from qcow2inspect.layout.node import Node
from qcow2inspect.units import HostOffset
from tests.images import damages, recipes, tree_of

MANY: dict[int, Cluster] = {0: Data(b"a"), 1: Compressed(b"b"), 2: Zero(b"old"), 3: Zero(), 5: Data(b"c")}

RECIPES = {
    "version 3": Recipe(Layout(2 << 20), MANY),
    "version 2": Recipe(Layout(2 << 20, version=2, cluster_bits=12), {0: Data(b"a"), 100: Compressed(b"b")}),
    "512-byte clusters": Recipe(Layout(2 << 20, cluster_bits=9), {**MANY, 3000: Data(b"x")}),
    "extended L2": Recipe(
        Layout(1 << 20, cluster_bits=14, extended_l2=True),
        {0: Data(b"a"), 1: Compressed(b"b"), 2: Subclusters(0x0000_0006_0000_0001, b"c"), 3: Subclusters(7 << 40)},
    ),
    "snapshots": Recipe(
        Layout(2 << 20, cluster_bits=12),
        MANY,
        (Snapshot(b"first", {0: Data(b"n")}), Snapshot(b"second\x1b", {400: Data(b"m")}, disk_size=1 << 20)),
    ),
    "overlay": Recipe(Layout(1 << 20, backing_name=b"base.qcow2", backing_format=b"qcow2"), MANY),
    "data file": Recipe(Layout(1 << 20, data_file=b"disk.raw"), {0: Data(b"a"), 3: Zero()}),
    "extensions": Recipe(Layout(1 << 20, extra_extensions=((0x12345678, b"note"), (0x87654321, b"")))),
    "1-bit refcounts": Recipe(Layout(1 << 20, refcount_order=0), MANY),
    "64-bit refcounts": Recipe(Layout(1 << 20, refcount_order=6), MANY),
    "odd entries": Recipe(
        Layout(1 << 20, cluster_bits=12),
        MANY,
        damage={"L1[0].L2[5]": 0x50201, "L1[0].L2[9]": 1 << 60, "L1[0].L2[7]": (1 << 55) | 1},
    ),
    "no tables": Recipe(Layout(1 << 20), damage={"hdr.l1_table_offset": 1 << 40, "hdr.refcount_table_offset": 1 << 41}),
    "broken extension": Recipe(Layout(1 << 20), damage={"ext[0].length": 1 << 30}),
}


def some(children: Sequence[Node]) -> Iterator[Node]:
    """All children, or some of a long row."""
    count = len(children)
    places = range(count) if count < 80 else sorted({*range(40), count // 2, count // 2 + 1, count - 2, count - 1})
    return (children[place] for place in places)


def walk(node: Node) -> Iterator[Node]:
    for child in some(node.children()):
        yield child
        yield from walk(child)


def is_run(node: Node) -> bool:
    """A row of unused entries, shown as one node."""
    return "‥" in node.name


def check_node(tree: Tree, node: Node) -> None:
    assert node.name
    assert (node.name + node.shown + node.doc).isprintable()
    assert node.kind
    assert node.doc
    assert node.where.start <= node.where.end
    found = resolve(tree, node.path)
    assert found.offset == node.where.start, node.path
    assert found.node.path == node.path
    if not is_run(node):
        assert found.node.where == node.where, node.path
        assert (found.node.name, found.node.shown, found.node.bits) == (node.name, node.shown, node.bits)
    if node.target_path:
        assert node.target is not None
        assert resolve(tree, node.target_path).offset == node.target, node.target_path


@pytest.mark.parametrize("name", RECIPES)
def test_every_address_leads_to_its_node(name: str) -> None:
    tree = tree_of(RECIPES[name])
    nodes = list(walk(tree.root))
    assert len(nodes) > 30
    for node in nodes:
        check_node(tree, node)


@settings(max_examples=15)
@given(st.data())
def test_every_address_leads_to_its_node_in_damaged_images(data: st.DataObject) -> None:
    recipe = data.draw(recipes())
    image = build(Recipe(recipe.layout, recipe.clusters, recipe.snapshots, damage=data.draw(damages(recipe))))
    tree = tree_of(image[: data.draw(st.integers(1024, len(image)) | st.just(len(image)))])
    for node in walk(tree.root):
        check_node(tree, node)


def owners(tree: Tree) -> Iterator[Node]:
    """Nodes that own bytes: fields and entries, but no data and nothing with parts smaller than itself."""
    for node in walk(tree.root):
        parts = [child for child in some(node.children()) if child.where.overlaps(node.where)]
        is_innermost = all(child.bits is not None and child.where.size > 1 for child in parts)
        if node.kind not in ("data", "compressed") and node.where and node.bits is None and is_innermost:
            yield node


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in ("no tables", "odd entries")])
def test_every_byte_of_a_field_leads_to_the_field(name: str) -> None:
    tree = tree_of(RECIPES[name])
    seen = 0
    for node in owners(tree):
        for offset in {node.where.start, node.where.end - 1, (node.where.start + node.where.end) // 2}:
            found = tree.locate(HostOffset(offset))
            if is_run(node):
                assert found.where.start >= node.where.start
                assert found.where.end <= node.where.end
                assert found.where.size in (8, 16)
            else:
                assert found.where == node.where, node.path
                assert found.path == node.path or "snap" in node.path or node.kind == "refcount", node.path
            assert HostOffset(offset) in found.where
            seen += 1
    assert seen > 50


@given(recipe=recipes(), data=st.data())
def test_every_byte_of_the_file_has_an_owner(recipe: Recipe, data: st.DataObject) -> None:
    tree = tree_of(recipe)
    end = int(tree.image.end)
    for offset in data.draw(st.lists(st.integers(0, end - 1) | st.integers(0, 300), min_size=1, max_size=20)):
        node = tree.locate(HostOffset(offset))
        assert HostOffset(offset) in node.where
        assert node.bits is None or node.kind == "refcount"
        back = resolve(tree, node.path)
        assert (back.node.path, back.node.where) == (node.path, node.where)


@pytest.mark.parametrize("offset", [1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_bytes_past_the_file_belong_to_a_free_cluster(offset: int) -> None:
    node = tree_of(RECIPES["version 3"]).locate(HostOffset(offset))
    assert node.kind == "free"
    assert node.path == f"c{offset >> 16}"


def test_the_top_of_the_tree() -> None:
    names = [node.name for node in tree_of(RECIPES["snapshots"]).top]
    assert names == ["Header", "Extensions", "L1 table", "Refcounts", "Snapshots"]
    overlay = [node.name for node in tree_of(RECIPES["overlay"]).top]
    assert overlay == ["Header", "Extensions", "Backing file", "L1 table", "Refcounts"]


def test_runs_of_unused_entries_are_one_node() -> None:
    tree = tree_of(RECIPES["512-byte clusters"])
    children = tree.mapped(tree.active).l1.children()
    assert [node.name for node in children] == ["[0]", "[1‥45]", "[46]", "[47‥63]"]


def test_the_header_says_what_its_pointers_mean() -> None:
    fields = {node.name: node.target_path for node in tree_of(RECIPES["snapshots"]).front.header.children()}
    assert fields["l1_table_offset"] == "L1"
    assert fields["refcount_table_offset"] == "rt"
    assert fields["snapshots_offset"] == "snap[0]"
    assert fields["backing_file_offset"] == ""


def test_a_broken_extension_is_shown() -> None:
    tree = tree_of(RECIPES["broken extension"])
    node = tree.front.extensions.children()[-1]
    assert (node.name, node.state) == ("broken record", "invalid")
    assert tree.locate(node.where.start).path == "ext.broken"


STATES = {
    "L1[0]": "normal",
    "L1[0].L2[0]": "normal",
    "L1[0].L2[1]": "compressed",
    "L1[0].L2[2]": "zero-alloc",
    "L1[0].L2[3]": "zero-plain",
    "L1[0].L2[4]": "unallocated",
    "L1[0].L2[5]": "invalid",
    "L1[0].L2[9]": "invalid",
    "L1[0].L2[7]": "zero-alloc",
    "ref[0]": "normal",
    "ref[200]": "unallocated",
}


@pytest.mark.parametrize("path", STATES)
def test_states(path: str) -> None:
    assert resolve(tree_of(RECIPES["odd entries"]), path).node.state == STATES[path]


def test_the_paths_of_a_snapshot_see_its_tables() -> None:
    tree = tree_of(RECIPES["snapshots"])
    old, new = (resolve(tree, f"{prefix}L1[0].L2[0].data") for prefix in ("snap[0].", ""))
    assert tree.image.read(old.offset, 1) == b"a"
    assert tree.image.read(new.offset, 1) == b"n"
    with pytest.raises(BadAddress):
        resolve(tree, "snap[2]")
