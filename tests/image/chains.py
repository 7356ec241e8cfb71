"""Chains in memory at random, what a guest reads from them, and what all views must fulfil."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from qcow2inspect.build.recipe import Cluster, Data, Recipe, Snapshot, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.format.snapshot import SnapshotExtra
from qcow2inspect.image.chain import Chain, Layer
from qcow2inspect.image.image import Image
from qcow2inspect.image.v1 import V1Image
from qcow2inspect.image.view import Extent, View
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import GuestOffset
from tests.image.v1_images import V1Recipe
from tests.images import image_of, noise, recipes, state_of

K = 1 << 16


def over(recipe: Recipe, below: bytes, state: dict[int, Cluster] | None = None) -> bytes:
    """What a guest reads of an overlay, worked out cluster by cluster."""
    size = recipe.layout.geometry.cluster_size
    whole = -(-recipe.layout.size // size) * size
    disk = bytearray(below[: recipe.layout.size].ljust(whole, b"\0"))
    for index, cluster in (state_of(recipe) if state is None else state).items():
        at = index * size
        disk[at : at + size] = _seen(cluster, bytes(disk[at : at + size]))
    return bytes(disk[: recipe.layout.size])


def _seen(cluster: Cluster, below: bytes) -> bytes:
    if isinstance(cluster, Zero):
        return bytes(len(below))
    data = (cluster.data * -(-len(below) // len(cluster.data)))[: len(below)] if cluster.data else b""
    if not isinstance(cluster, Subclusters):
        return data
    part = len(below) // 32

    def one(number: int) -> bytes:
        if cluster.bitmap >> number & 1:
            return data[number * part : (number + 1) * part]
        return bytes(part) if cluster.bitmap >> (32 + number) & 1 else below[number * part : (number + 1) * part]

    return b"".join(map(one, range(32)))


@st.composite
def old_recipes(draw: st.DrawFn) -> V1Recipe:
    bits = draw(st.integers(9, 16))
    count = draw(st.integers(1, 40))
    some = st.dictionaries(st.integers(0, count - 1), st.binary(min_size=1, max_size=9), max_size=6)
    size = (count << bits) - draw(st.sampled_from([0, 512 % (1 << bits), 100]))
    stored = draw(some)
    packed = {number: data for number, data in draw(some).items() if number not in stored}
    return V1Recipe(size, stored, packed, cluster_bits=bits, l2_bits=draw(st.integers(6, 9)))


@st.composite
def chains(draw: st.DrawFn) -> tuple[Chain, bytes]:
    """A chain in memory, and what a guest reads from it."""
    parts = draw(st.lists(recipes() | old_recipes(), min_size=1, max_size=4))
    raw = draw(st.none() | st.binary(max_size=3) | st.integers(0, 200_000).map(lambda size: noise(size, size)))
    layers: list[Layer] = []
    seen = b""
    if raw is not None:
        layers = [Layer(MemorySource(raw), "raw", None)]
        seen = raw.ljust(-(-len(raw) // 512) * 512, b"\0")
    for part in parts:
        if isinstance(part, Recipe):
            image: Image | V1Image = image_of(part)
            seen = over(part, seen)
        else:
            image = part.image()
            seen = part.model(seen)
        layers.insert(0, Layer(image.source, "any", image))
    return Chain(layers), seen


def facts(extent: Extent, at: int) -> tuple[object, ...]:
    """What an extent says of one byte."""
    host = extent.host
    where = host and (host.start if extent.kind is ClusterType.COMPRESSED else host.start + at - extent.guest.start)
    return extent.kind, where, extent.layer, extent.error and extent.error.what, extent.past_end, extent.absent


def agree(view: View) -> None:
    """One place and a range say the same; the extents cover the view once."""
    end = 0
    for extent in view.extents():
        assert extent.guest.start == end
        assert extent.guest
        end = int(extent.guest.end)
        for at in {extent.guest.start, (extent.guest.start + end) // 2, extent.guest.start + 511, end - 1}:
            if at < end:
                one = view.lookup(GuestOffset(at))
                assert one.guest.start <= at < one.guest.end
                assert one.guest.end <= view.size
                assert _named(facts(one, int(at))) == _named(facts(extent, int(at))), f"guest {at:#x}"
    assert end == view.size


def _named(said: tuple[object, ...]) -> tuple[object, ...]:
    """Errors name the range they were found in, which is shorter for one place."""
    return tuple(word.partition(": ")[2] if isinstance(word, str) else word for word in said)


def vm_recipe(state: bytes, *, size: int | None = None, disk_size: int = 1 << 15, bits: int = 9) -> Recipe:
    """A disk that was larger or smaller when the snapshot was taken, and its VM state behind its end."""
    made = Layout(1 << 16, cluster_bits=bits, l1_extra=8)
    span, cluster = made.geometry.l2_span, made.geometry.cluster_size
    first = -(-disk_size // span) * span // cluster
    parts: dict[int, Cluster] = {
        first + index: Data(state[at : at + cluster].ljust(cluster, b"\0"))
        for index, at in enumerate(range(0, len(state), cluster))
    }
    extra = SnapshotExtra(len(state) if size is None else size, GuestOffset(disk_size), (1 << 64) - 1).encode()
    return Recipe(made, {0: Data(b"disk"), **parts}, (Snapshot(b"s", extra=extra),))


def layout(backing: str = "base", size: int = 8 * K, bits: int = 16, stated: bytes = b"qcow2") -> Layout:
    return Layout(size, cluster_bits=bits, backing_name=backing.encode(), backing_format=stated)


def write(path: Path, recipe: Recipe | bytes) -> Path:
    path.write_bytes(recipe if isinstance(recipe, bytes) else build(recipe))
    return path
