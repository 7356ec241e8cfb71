"""What can be read and is doubtful: found exactly, and listed beside what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import pytest

from qcow2inspect.build.recipe import Compressed, Data, Recipe, Subclusters, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.export.choices import Choices, OnError
from qcow2inspect.export.doubts import find_doubts, with_doubts
from qcow2inspect.export.load import Trouble
from qcow2inspect.export.mapped import MappedView
from qcow2inspect.export.raw import export
from qcow2inspect.image.assume import read_assumptions
from qcow2inspect.image.follow import open_chain
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.survey.survey import take_survey
from qcow2inspect.units import GuestRange
from tests.images import model, noise
from tests.rules.test_incidents import CASES

K = 1 << 12
RECIPE = Recipe(
    Layout(3 << 20, cluster_bits=12),
    {**{index: Data(noise(index, K)) for index in range(2, 9)}, 600: Compressed(b"packed"), 601: Compressed(b"more")},
)


def doubts(damage: dict[str, int], assume: tuple[str, ...] = (), end: int | None = None) -> list[tuple[int, int]]:
    source = MemorySource(build(Recipe(RECIPE.layout, RECIPE.clusters, damage=damage, end=end)))
    disk = Image(source, read_assumptions(source, assume)).active_disk()
    found = find_doubts(disk)
    return joined([(int(one.guest.start), one.guest.size) for one in found])


def joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges that touch each other as one."""
    made: list[tuple[int, int]] = []
    for start, size in ranges:
        if made and sum(made[-1]) == start:
            made[-1] = (made[-1][0], made[-1][1] + size)
        else:
            made.append((start, size))
    return made


def entry(address: str) -> int:
    image = Image(MemorySource(build(RECIPE)))
    table = image.l2_table(image.l1[int(address[3])].l2_table_offset)
    return table[int(address.partition("L2[")[2][:-1])].raw


def test_a_sound_image_has_none() -> None:
    assert doubts({}) == []


def test_two_places_that_share_a_cluster() -> None:
    assert doubts({"L1[0].L2[3]": entry("L1[0].L2[7]")}) == [(3 * K, K), (7 * K, K)]
    assert doubts({"L1[1].L2[88]": entry("L1[1].L2[89]")}) == [(600 * K, 2 * K)]


def test_two_places_that_share_a_cluster_and_use_different_subclusters() -> None:
    size = 1 << 16
    low, high, both = 0x0F, 0xFF00, 0x0F0F0000
    clusters = {n: Subclusters(bits, noise(n, size)) for n, bits in ((1, low), (2, high), (3, both), (4, low))}
    recipe = Recipe(Layout(1 << 20, cluster_bits=16, extended_l2=True), clusters)
    disk = Image(MemorySource(build(recipe))).active_disk()
    assert find_doubts(disk) == []
    first = Image(MemorySource(build(recipe))).l2_table(disk.image.l1[0].l2_table_offset)[1].raw
    damaged = Recipe(recipe.layout, clusters, damage={"L1[0].L2[3]": first})
    disk = Image(MemorySource(build(damaged))).active_disk()
    found = [(int(one.guest.start), one.guest.size) for one in find_doubts(disk)]
    part = size // 32
    assert found == [(size, 4 * part), (3 * size + 16 * part, 4 * part), (3 * size + 24 * part, 4 * part)]


def test_every_one_of_several_places_that_overlap_is_doubtful() -> None:
    """Of three stretches each shares clusters with both others; none hides what the others share."""
    damage = {f"L1[0].L2[{20 + index}]": entry(f"L1[0].L2[{3 + index}]") for index in range(3)}
    damage |= {f"L1[0].L2[{30 + index}]": entry(f"L1[0].L2[{4 + index}]") for index in range(5)}
    assert doubts(damage) == [(3 * K, 6 * K), (20 * K, 3 * K), (30 * K, 5 * K)]


def test_a_cluster_in_a_table() -> None:
    image = Image(MemorySource(build(RECIPE)))
    assert doubts({"L1[0].L2[3]": int(image.l1[0].l2_table_offset)}) == [(3 * K, K)]
    assert doubts({"L1[0].L2[3]": int(image.header.l1_table_offset)}) == [(3 * K, K)]


def test_what_speaks_against_a_range_may_lie_outside_of_it(tmp_path: Path) -> None:
    damaged = Recipe(RECIPE.layout, RECIPE.clusters, damage={"L1[0].L2[3]": entry("L1[0].L2[7]")})
    disk = Image(MemorySource(build(damaged))).active_disk()
    within, out = GuestRange.at(2 * K, 2 * K - 100), str(tmp_path / "out")
    for view, choices in (
        (disk, Choices(on_error=OnError.ZERO, within=within)),
        (MappedView(disk, within), Choices(on_error=OnError.ZERO, force=True)),
    ):
        export(view, out, choices)
        listed = json.loads((tmp_path / "out.errors.json").read_text())["ranges"]
        assert [(one["output_offset"], one["guest_offset"], one["size"]) for one in listed] == [(K, 3 * K, K - 100)]
        assert listed[0]["host_offset"] == entry("L1[0].L2[7]") & ~(1 << 63)


def test_an_assumed_table_and_one_that_is_read_otherwise(tmp_path: Path) -> None:
    source = MemorySource(build(RECIPE))
    table = Image(source).l1[0].raw
    assert doubts({}, (f"L1[1]={table}",)) == [(2 * K, 7 * K), (514 * K, 7 * K)]
    disk = Image(source, read_assumptions(source, [f"L1[1]={table}"])).active_disk()
    export(disk, str(tmp_path / "out"), Choices(on_error=OnError.BEST))
    listed = json.loads((tmp_path / "out.errors.json").read_text())["ranges"]
    assert {(one["kind"], one["written"]) for one in listed} == {("doubtful", "as stored")}
    assert joined([(one["guest_offset"], one["size"]) for one in listed]) == [(2 * K, 7 * K), (514 * K, 7 * K)]
    assert (tmp_path / "out").read_bytes()[: 512 * K] == model(RECIPE)[: 512 * K]
    assert "  ?" in (tmp_path / "out.map").read_text()


def test_the_policy_to_fail_names_them_too(tmp_path: Path) -> None:
    """Nothing fails when these bytes are read: without a word they would pass for what the guest had."""
    damaged = Recipe(RECIPE.layout, RECIPE.clusters, damage={"L1[0].L2[3]": entry("L1[0].L2[7]")})
    disk = Image(MemorySource(build(damaged))).active_disk()
    done = export(disk, str(tmp_path / "out"), Choices())
    export(disk, str(tmp_path / "best"), Choices(on_error=OnError.BEST))
    assert "8,192 B (8 KiB) are doubtful and stand as they are stored" in done.warnings
    assert {str(tmp_path / name) for name in ("out", "out.map", "out.errors.json")} == set(done.files)
    listed = [json.loads((tmp_path / f"{name}.errors.json").read_text())["ranges"] for name in ("out", "best")]
    assert listed[0] == listed[1]
    assert [(one["guest_offset"], one["size"]) for one in listed[0]] == [(3 * K, K), (7 * K, K)]
    sound = export(Image(MemorySource(build(RECIPE))).active_disk(), str(tmp_path / "sound"), Choices())
    assert (sound.warnings, sound.files) == ((), (str(tmp_path / "sound"),))


def test_files_behind_the_image_are_doubted_where_they_are_seen(tmp_path: Path) -> None:
    """Two places of the base share a cluster; the overlay hides one half of the first, the file between nothing."""
    shared = {"L1[0].L2[3]": entry("L1[0].L2[7]")}
    (tmp_path / "base").write_bytes(build(Recipe(RECIPE.layout, RECIPE.clusters, damage=shared)))
    between = Layout(3 << 20, cluster_bits=12, backing_name=b"base", backing_format=b"qcow2")
    (tmp_path / "between").write_bytes(build(Recipe(between, {500: Data(b"x" * K)})))
    top = Layout(3 << 20, cluster_bits=11, backing_name=b"between", backing_format=b"qcow2")
    (tmp_path / "top").write_bytes(build(Recipe(top, {6: Data(b"y" * (K // 2))})))
    with open_chain(tmp_path / "top", OpenGate(Follow.ANY)) as chain:
        disk = chain.disk()
        found = find_doubts(disk)
        assert [(int(one.guest.start), one.guest.size, one.layer) for one in found] == [
            (3 * K + K // 2, K // 2, 2),
            (7 * K, K, 2),
        ]
        host = entry("L1[0].L2[7]") & ~(1 << 63)
        assert [int(one.host.start) for one in found if one.host] == [host + K // 2, host]


def test_overwritten_tables_behind_an_empty_overlay(tmp_path: Path) -> None:
    """What is seen through an empty overlay is as doubtful as it is without it."""
    (tmp_path / "base").write_bytes(CASES["few"].image())
    disk = Image.open(tmp_path / "base").active_disk()
    alone = find_doubts(disk, survey=take_survey(disk.image))
    top = Layout(disk.size, cluster_bits=16, backing_name=b"base", backing_format=b"qcow2")
    (tmp_path / "top").write_bytes(build(Recipe(top, {})))
    with open_chain(tmp_path / "top", OpenGate(Follow.ANY)) as chain:
        through = find_doubts(chain.disk())
    assert len(alone) > 2
    assert joined([(int(one.guest.start), one.guest.size) for one in through]) == joined(
        [(int(one.guest.start), one.guest.size) for one in alone]
    )
    assert {one.layer for one in through} == {1}


@pytest.mark.parametrize("kind", ["plain", "streams"])
def test_very_many_places_that_are_shared_are_few_doubts(kind: str) -> None:
    """Which bytes are doubtful does not depend on how many they are; memory does not either."""
    shared = {**dict.fromkeys(range(20, 90), entry("L1[0].L2[7]")), 100: entry("L1[0].L2[3]")}
    if kind == "streams":
        shared = {**dict.fromkeys(range(20, 90), entry("L1[1].L2[88]")), 100: entry("L1[1].L2[89]")}
    damage = {f"L1[0].L2[{index}]": raw for index, raw in shared.items()}
    wanted = doubts(damage)
    assert (20 * K, 70 * K) in wanted
    with mock.patch("qcow2inspect.export.doubts._MOST", 8):
        assert doubts(damage) == wanted
        disk = Image(MemorySource(build(Recipe(RECIPE.layout, RECIPE.clusters, damage=damage)))).active_disk()
        assert len(find_doubts(disk)) <= 8


def test_troubles_come_before_doubts() -> None:
    def one(start: int, size: int, kind: str) -> Trouble:
        return Trouble(GuestRange.at(start, size), None, 0, kind, "", "")

    merged = with_doubts(
        [one(20, 10, "unreadable"), one(40, 10, "unreadable")], [one(0, 5, "doubtful"), one(15, 30, "doubtful")]
    )
    assert [(int(t.guest.start), int(t.guest.end), t.kind[0]) for t in merged] == [
        (0, 5, "d"),
        (15, 20, "d"),
        (20, 30, "u"),
        (30, 40, "d"),
        (40, 50, "u"),
    ]


def test_very_many_neighbours_are_joined_before_what_lies_between_others_is_suspected() -> None:
    damage = {f"L1[0].L2[{20 + index}]": 3 << 62 | 1 << 40 for index in range(6)}  # streams far past the end
    damage |= {f"L1[0].L2[{40 + index}]": 3 << 62 | 1 << 41 for index in range(6)}
    with mock.patch("qcow2inspect.export.doubts._MOST", 3):
        assert doubts(damage) == [(20 * K, 6 * K), (40 * K, 6 * K)]
