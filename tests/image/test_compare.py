"""What is said about two views is what their bytes say; what the tables tell is not read."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qcow2inspect.build.demo import demo_recipe, encrypted_recipe
from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Snapshot, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.image.chain import Chain, Layer
from qcow2inspect.image.compare import compare, next_difference
from qcow2inspect.image.contrast import compare_fields, compare_mappings, header_fields, state_fields
from qcow2inspect.image.follow import chain_of
from qcow2inspect.image.image import Image
from qcow2inspect.image.parts import NEAR, Relation, Sums
from qcow2inspect.image.view import RawDisk, View
from qcow2inspect.progress import Cancelled, Silent
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import GuestRange, HostRange
from tests.image.chains import K, chains
from tests.images import CountingSource, image_of, noise, read_all
from tests.source.faulty import FaultySource


def raw(data: bytes) -> RawDisk:
    return RawDisk(MemorySource(data))


def ranges(a: View, b: View) -> list[tuple[int, int]]:
    """Ranges that differ, as the bytes say, joined where fewer than NEAR equal bytes lie between."""
    size = max(a.size, b.size)
    one, other = read_all(a).ljust(size, b"\0"), read_all(b).ljust(size, b"\0")
    found: list[tuple[int, int]] = []
    for at in (at for at in range(size) if one[at] != other[at]):
        if found and at - found[-1][1] < NEAR:
            found[-1] = (found[-1][0], at + 1)
        else:
            found.append((at, at + 1))
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chains(), st.data())
def test_the_parts_are_what_the_bytes_say(made: tuple[Chain, bytes], data: st.DataObject) -> None:
    view = made[0].disk(lenient=True)
    changed = bytearray(made[1][: view.size])
    for at in data.draw(st.lists(st.integers(0, max(0, len(changed) - 1)), max_size=5)) if changed else ():
        changed[at] ^= data.draw(st.integers(1, 255))
    other = raw(bytes(changed) + bytes(data.draw(st.sampled_from([0, 512, 5000]))))
    parts, wanted = list(compare(view, other)), ranges(view, other)
    assert all(left.guest.end == right.guest.start for left, right in pairwise(parts))
    assert sum(part.guest.size for part in parts) == max(view.size, other.size)
    different = [part for part in parts if part.relation is Relation.DIFFERENT]
    assert [(part.guest.start, part.guest.end) for part in different] == wanted
    for start, end in wanted:
        assert (found := next_difference(view, other, start - 1, 1)) is not None
        assert found.guest.start == start
        assert (found := next_difference(view, other, end, -1)) is not None
        assert found.guest.start == start
    last = wanted[-1][0] if wanted else view.size
    assert next_difference(view, other, last, 1) is None


def test_what_two_states_share_is_not_read() -> None:
    kept: dict[int, Cluster] = {0: Data(b"a"), 1: Compressed(b"b"), 2: Zero(), 3: Data(b"c")}
    source = CountingSource(build(Recipe(Layout(64 * K), kept, (Snapshot(b"s", {3: Data(b"d")}),))))
    chain = chain_of(Image(source))
    before, now = chain.disk("s"), chain.disk()
    for view in (before, now):
        list(view.extents())
    source.bytes = 0
    sums = Sums()
    for part in compare(before, now):
        sums.add(part)
    assert (sums.ranges, sums.first, sums.differing) == (1, 3 * K, K)
    assert sums.by_tables == 63 * K
    assert source.bytes <= 2 * K + 1024  # the two clusters that are stored twice, and L1 entries


def test_shared_clusters_need_no_key() -> None:
    from dataclasses import replace

    recipe = replace(encrypted_recipe(), snapshots=(Snapshot(b"s"),))
    chain = chain_of(image_of(recipe))
    used = [part for part in compare(chain.disk("s"), chain.disk()) if part.a is not None and part.a.error]
    assert used
    assert {part.relation for part in used} == {Relation.SAME}
    other = chain_of(image_of(recipe)).disk()
    assert Relation.UNREADABLE in {part.relation for part in compare(chain.disk(), other)}


def test_what_cannot_be_read_is_not_called_the_same() -> None:
    data = noise(1, 8 * K)
    faulty = FaultySource(data, broken=(HostRange.at(3 * K, 512), HostRange.at(5 * K + 512, 1024)))
    parts = list(compare(RawDisk(faulty), raw(data)))
    unreadable = [(part.guest.start, part.guest.size) for part in parts if part.relation is Relation.UNREADABLE]
    assert unreadable == [(3 * K, 512), (5 * K + 512, 512), (5 * K + 1024, 512)]
    assert {part.relation for part in parts} == {Relation.SAME, Relation.UNREADABLE}
    found = next_difference(RawDisk(faulty), raw(data), 0, 1)
    assert found is not None
    assert found.guest.start == 3 * K


def test_zeros_for_want_of_data_are_named() -> None:
    recipe = Recipe(Layout(8 * K), {0: Data(b"a"), 1: Data(b"b")}, damage={"L1[0].L2[1]": 1 << 63 | 1 << 40})
    cut = chain_of(image_of(recipe))
    sums = Sums()
    for part in compare(cut.disk(), raw(b"a" * K + bytes(7 * K))):
        sums.add(part)
    assert (sums.missing, sums.ranges) == (K, 0)
    assert sums.by_tables + sums.by_bytes == 7 * K
    overlay = Layout(4 * K, backing_name=b"gone")
    absent = chain_of(image_of(Recipe(overlay))).disk(absent_as_zero=True)
    assert {part.relation for part in compare(absent, raw(bytes(4 * K)))} == {Relation.MISSING}


def test_a_difference_that_spans_windows_begins_where_it_begins() -> None:
    size = 5 << 20
    a, b = raw(bytes(100) + b"x" * (size - 100)), raw(bytes(size))
    found = next_difference(a, b, size, -1)
    assert found is not None
    assert (found.guest.start, found.guest.end) == (100, size)
    assert next_difference(a, b, 100, -1) is None
    assert next_difference(a, b, 99, 1) is not None


class Impatient(Silent):
    def advance(self, amount: int) -> None:
        raise Cancelled


def test_whoever_stops_does_not_wait() -> None:
    a, b = raw(noise(1, 4 * K)), raw(noise(2, 4 * K))
    with pytest.raises(Cancelled):
        list(compare(a, b, Impatient()))
    with pytest.raises(Cancelled):
        list(compare_mappings(a, b, Impatient()))
    assert [part.guest for part in compare(a, b, within=GuestRange.at(K, 10))] == [GuestRange.at(K, 10)]


def test_mappings() -> None:
    recipe = Recipe(Layout(8 * K), {0: Data(b"a"), 1: Data(b"b")}, (Snapshot(b"s", {1: Data(b"b"), 2: Zero()}),))
    chain = chain_of(image_of(recipe))
    parts = [part for part in compare_mappings(chain.disk("s"), chain.disk()) if part.relation is Relation.DIFFERENT]
    assert [(part.guest.start, part.guest.end) for part in parts] == [(K, 2 * K), (2 * K, 3 * K)]
    assert not any(part.relation is Relation.DIFFERENT for part in compare(chain.disk("s"), chain.disk()))


def test_fields() -> None:
    chain = chain_of(image_of(demo_recipe()))
    pairs = compare_fields(state_fields(chain, 0), state_fields(chain, None))
    assert {pair.name for pair in pairs if not pair.is_same} >= {"L1 table offset", "name"}
    assert next(pair for pair in pairs if pair.name == "disk size").is_same
    one = header_fields(image_of(Recipe(Layout(8 * K, version=2))))
    other = header_fields(image_of(Recipe(Layout(9 * K))))
    unlike = {pair.name: (pair.a, pair.b) for pair in compare_fields(one, other) if not pair.is_same}
    assert unlike["hdr.version"] == ("2", "3")
    assert "hdr.size" in unlike
    assert unlike["hdr.header_length"][0] == ""


def test_layers_of_one_chain() -> None:
    base = image_of(Recipe(Layout(8 * K), {0: Data(b"a"), 1: Data(b"b")}))
    top = image_of(Recipe(Layout(8 * K, backing_name=b"base"), {1: Data(b"c")}))
    chain = Chain([Layer(top.source, "qcow2", top), Layer(base.source, "qcow2", base)])
    parts = list(compare(chain.disk(), chain.layer_disk(1)))
    assert [part.guest for part in parts if part.relation is Relation.DIFFERENT] == [GuestRange.at(K, K)]
    assert not any(part.was_read for part in parts if part.relation is Relation.SAME)
