"""The deep look: every stream once, every cluster that no guest sees, whatever the entries say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcow2inspect.build.demo import demo_recipe
from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Snapshot, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.header import CompressionType
from qcow2inspect.image.image import Image
from qcow2inspect.progress import Cancelled, Silent
from qcow2inspect.survey import deep as module
from qcow2inspect.survey.deep import Deep, look_deep
from qcow2inspect.survey.streams import StreamFault
from qcow2inspect.survey.survey import Survey, take_survey
from qcow2inspect.survey.unseen import look_for_content
from qcow2inspect.units import HostRange
from tests.images import damages, image_of, noise, recipes
from tests.survey.test_survey import Stop

MIB = 1 << 20
UNREADABLE = (StreamFault.BROKEN, StreamFault.SHORT, StreamFault.WRONG_TYPE)
PACKED = Recipe(Layout(size=MIB, cluster_bits=12), {index: Compressed(noise(index, 1000)) for index in range(100)})


def deep_of(recipe: Recipe | bytes) -> Deep:
    return look_deep(take_survey(image_of(recipe)))


def broken(count: int) -> bytes:
    """An image of 100 compressed clusters of which the first ``count`` are broken."""
    data = bytearray(build(PACKED))
    disk = image_of(bytes(data)).active_disk()
    for extent in list(disk.extents())[:count]:
        assert extent.host is not None
        data[extent.host.start : extent.host.start + 4] = b"\xff" * 4
    return bytes(data)


@pytest.mark.parametrize("kind", list(CompressionType))
def test_sound_streams_have_no_fault(kind: CompressionType) -> None:
    deep = deep_of(replace(PACKED, layout=replace(PACKED.layout, compression=kind)))
    assert (deep.streams, deep.bad, deep.skipped) == (100, {}, [])


def test_a_stream_is_inflated_once_however_many_entries_lead_to_it() -> None:
    shared = replace(PACKED, snapshots=(Snapshot(b"one", {0: Data(b"new")}), Snapshot(b"two", {1: Data(b"new")})))
    assert deep_of(shared).streams == 100
    entry = image_of(broken(1)).l2_table(image_of(broken(1)).l1[0].l2_table_offset)[0].raw
    image = bytearray(broken(1))
    table = image_of(broken(1)).l1[0].l2_table_offset
    image[table : table + 4096] = entry.to_bytes(8, "big") * 512
    deep = deep_of(bytes(image))
    assert deep.streams == 1
    assert deep.bad[StreamFault.BROKEN].count == 1
    assert [entry.l2_index for entry in deep.bad[StreamFault.BROKEN].entries] == [0, 1, 2, 3]


def test_each_broken_stream_is_found_with_its_entry() -> None:
    bad = deep_of(broken(7)).bad
    assert list(bad) == [StreamFault.BROKEN]
    assert bad[StreamFault.BROKEN].count == 7
    assert [entry.l2_index for entry in bad[StreamFault.BROKEN].entries] == list(range(7))


def test_what_is_kept_is_bounded_and_the_count_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 3)
    bad = deep_of(broken(100)).bad[StreamFault.BROKEN]
    assert (bad.count, len(bad.streams), len(bad.entries)) == (100, 3, 3)


def test_more_streams_than_an_image_has_are_said_to_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_STREAMS", 40)
    deep = deep_of(PACKED)
    assert deep.streams == 40
    assert deep.skipped == ["content of compressed clusters beyond the first 40"]


def test_a_stream_past_the_end_is_not_inflated() -> None:
    deep = deep_of(replace(PACKED, damage={"L1[0].L2[1]": 1 << 62 | 1 << 40}))
    assert (deep.streams, deep.bad) == (99, {})


def test_an_unknown_compression_type_is_said() -> None:
    survey = take_survey(image_of(replace(PACKED, damage={"hdr.compression_type": 7})))
    deep = look_deep(survey)
    assert deep.streams == 0
    assert deep.skipped == ["content of compressed clusters: compression type 7 (header byte 104) is unknown"]


# -- what no guest sees -----------------------------------------------------------------------------------------


def test_zero_clusters_with_stale_data() -> None:
    clusters: dict[int, Cluster] = {
        0: Zero(b"kept"),
        1: Zero(),
        2: Zero(bytes(4)),
        3: Zero(b"also"),
        4: Data(bytes(4)),
        5: Zero(b"third"),
    }
    deep = deep_of(Recipe(PACKED.layout, clusters))
    assert (deep.stale.count, deep.stale.size) == (3, 3 * 4096)
    assert [part.size for part in deep.stale.ranges] == [4096, 4096, 4096]


def test_subclusters_that_are_not_allocated() -> None:
    clusters: dict[int, Cluster] = {
        0: Subclusters(0x0000_000F_FFFF_FF00, b"a"),
        1: Subclusters(0, b"b"),
        2: Subclusters(0xFFFF_FFFF, b"c"),
    }
    deep = deep_of(Recipe(Layout(size=MIB, extended_l2=True), clusters))
    assert deep.stale.unit == 2048
    assert deep.stale.count == 8 + 32


def test_free_clusters_with_content() -> None:
    recipe = Recipe(PACKED.layout, {index: Data(b"x" if index % 2 else bytes(1)) for index in range(8)})
    damage = {f"L1[0].L2[{index}]": 0 for index in range(6)}
    table = image_of(recipe).l2_table(image_of(recipe).l1[0].l2_table_offset)
    clusters = [int(table[index].host_cluster_offset) // 4096 for index in range(6)]
    deep = deep_of(replace(recipe, damage={**damage, **{f"ref[{cluster}]": 0 for cluster in clusters}}))
    assert deep.free.count == 3
    assert [int(part.start) // 4096 for part in deep.free.ranges] == clusters[1::2]


def test_what_lies_behind_the_last_cluster_in_use_is_not_free() -> None:
    assert deep_of(build(PACKED) + b"appended" * 1000).free.count == 0


@given(st.lists(st.sampled_from([0, 0, 0, 1, 255]), min_size=1, max_size=40), st.data())
def test_content_is_found_where_it_is(units: list[int], data: st.DataObject) -> None:
    content = b"".join(bytes(511) + bytes([value]) for value in units)
    borders = sorted(data.draw(st.sets(st.integers(0, len(units)), min_size=2)) if len(units) > 1 else {0, 1})
    ranges = [HostRange.at(MIB + a * 512, (b - a) * 512) for a, b in zip(borders[::2], borders[1::2], strict=False)]
    image = image_of(build(Recipe(Layout(size=MIB), {})).ljust(MIB, b"\0") + content)
    found = look_for_content(image, ranges, 512, Silent(), most=100)
    inside = {(int(part.start) - MIB) // 512 + i for part in ranges for i in range(part.size // 512)}
    expected = {index for index in inside if units[index]}
    assert found.count == len(expected)
    assert {(at - MIB) // 512 for part in found.ranges for at in range(part.start, part.end, 512)} == expected


def test_holes_are_not_read_and_content_between_them_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.qcow2"
    path.write_bytes(build(PACKED))
    with path.open("r+b") as file:
        file.truncate(1 << 40)
        for at in (1 << 30, (1 << 30) + 5000, 1 << 39):
            file.seek(at)
            file.write(b"x")
    with Image.open(path) as image:
        found = look_for_content(image, [HostRange.at(1 << 29, 1 << 39)], 4096, Silent(), most=100)
    assert [int(part.start) for part in found.ranges] == [1 << 30, 1 << 39]
    assert found.count == 3


# -- the rest ---------------------------------------------------------------------------------------------------


def test_an_external_data_file_is_left_alone() -> None:
    recipe = Recipe(Layout(size=MIB, data_file=b"data.raw"), {0: Data(b"a"), 1: Zero(b"kept")})
    deep = deep_of(recipe)
    assert (deep.streams, deep.stale.count) == (0, 0)


def test_a_look_at_the_header_alone_has_nothing_to_look_into() -> None:
    assert look_deep(Survey.of_header(image_of(PACKED))) == Deep()


def test_it_can_be_cancelled() -> None:
    survey = take_survey(image_of(PACKED))
    with pytest.raises(Cancelled):
        look_deep(survey, Stop())


@pytest.mark.parametrize("end", [0x10000, 0x30004, 0x50001, 0x3E0000])
def test_truncated_images_are_looked_at(end: int) -> None:
    deep = deep_of(build(replace(demo_recipe(), end=end)))
    assert deep.streams <= 48


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_stops_it(data: st.DataObject) -> None:
    recipe = data.draw(recipes())
    image = image_of(replace(recipe, damage=data.draw(damages(recipe))))
    deep = look_deep(take_survey(image))
    assert all(deep.streams >= bad.count for bad in deep.bad.values())
