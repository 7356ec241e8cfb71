"""Mapped-only output: with its list of pieces the raw disk can be made again, and damage is listed where it belongs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Compressed, Data, Recipe, Snapshot, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.export.choices import Choices, OnError
from qcow2inspect.export.mapped import MappedView
from qcow2inspect.export.raw import export
from qcow2inspect.format.header import CompressionType
from qcow2inspect.image.follow import chain_of
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import GuestRange
from tests.export.test_policies import CLUSTER, broken_stream
from tests.images import model, noise

K = 1 << 14
RECIPES = {
    "mixed": Recipe(
        Layout(60 * K, cluster_bits=14),
        {1: Data(b"a"), 2: Data(b"b"), 3: Compressed(b"c"), 5: Zero(), 6: Zero(b"old"), 40: Data(noise(1, K))},
    ),
    "subclusters": Recipe(
        Layout(60 * K, extended_l2=True, cluster_bits=14),
        {1: Subclusters(0x0F0F_0001, b"s"), 2: Compressed(b"x"), 9: Data(b"y")},
    ),
    "nothing": Recipe(Layout(60 * K, cluster_bits=14)),
    "snapshot": Recipe(Layout(60 * K, cluster_bits=14), {1: Data(b"a")}, (Snapshot(b"s", {7: Data(b"b")}),)),
}


def rebuilt(folder: Path) -> bytes:
    """The disk, made of the output and its list of pieces alone."""
    mapped = (folder / "out").read_bytes()
    lines = (folder / "out.pieces").read_text().splitlines()
    disk = bytearray(int(lines[1].split()[2].rstrip(":"), 16))
    end = 0
    for line in lines[3:]:
        output, guest, size = (int(word, 16) for word in line.split())
        assert output == end
        disk[guest : guest + size] = mapped[output : output + size]
        end = output + size
    assert end == len(mapped)
    return bytes(disk)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("choices", [Choices(), Choices(hashes=("sha256",), verify=True), Choices(split=K + 512)])
def test_the_disk_is_made_again_from_the_pieces(name: str, choices: Choices, tmp_path: Path) -> None:
    image = Image(MemorySource(build(RECIPES[name])))
    view = MappedView(image.active_disk())
    result = export(view, str(tmp_path / "out"), choices)
    assert str(tmp_path / "out.pieces") in result.files
    if choices.split:
        parts = sorted(path for path in tmp_path.iterdir() if path.suffix[1:].isdigit())
        (tmp_path / "out").write_bytes(b"".join(part.read_bytes() for part in parts))
    assert rebuilt(tmp_path) == model(RECIPES[name])
    assert view.size < 10 * K
    assert view.read_at(5, 2 * K) == (tmp_path / "out").read_bytes()[5 : 5 + 2 * K]


def test_a_part_of_a_snapshot(tmp_path: Path) -> None:
    chain = chain_of(Image(MemorySource(build(RECIPES["snapshot"]))))
    export(MappedView(chain.disk("s"), GuestRange.at(K, K // 2)), str(tmp_path / "out"), Choices())
    disk = rebuilt(tmp_path)
    assert disk[K : K + K // 2] == b"a" * (K // 2)
    assert not any(disk[:K] + disk[K + K // 2 :])


def test_the_manifest_names_the_part(tmp_path: Path) -> None:
    image = Image(MemorySource(build(RECIPES["mixed"])))
    export(MappedView(image.active_disk(), GuestRange.at(K, K)), str(tmp_path / "out"), Choices(manifest=True))
    assert json.loads((tmp_path / "out.manifest.json").read_text())["range"] == [K, 2 * K]
    assert f"guest bytes {K:,} to {2 * K:,}" in (tmp_path / "out.manifest.txt").read_text()


def test_damage_is_listed_at_its_place_on_the_disk(tmp_path: Path) -> None:
    recipe = RECIPES["mixed"]
    data = build(Recipe(recipe.layout, recipe.clusters, damage={"L1[0].L2[2]": 0x777, "L1[0].L2[40]": 0x555}))
    view = MappedView(Image(MemorySource(data)).active_disk())
    result = export(view, str(tmp_path / "out"), Choices(on_error=OnError.PATTERN))
    assert f"from guest offset {2 * K:#x} on" in result.warnings[0]
    listed = json.loads((tmp_path / "out.errors.json").read_text())["ranges"]
    assert [(one["output_offset"], one["guest_offset"], one["size"]) for one in listed] == [
        (K, 2 * K, K),
        (3 * K, 40 * K, K),
    ]
    assert rebuilt(tmp_path)[2 * K : 2 * K + 10] == b"UNREADABLE"


def test_best_keeps_what_came_out_of_the_stream(tmp_path: Path) -> None:
    image, sound = broken_stream(CompressionType.ZLIB, 5000)
    start = CLUSTER + 1000
    view = MappedView(image.active_disk(), GuestRange.at(start, 2 * CLUSTER))
    export(view, str(tmp_path / "out"), Choices(on_error=OnError.BEST))
    listed = json.loads((tmp_path / "out.errors.json").read_text())["ranges"]
    assert (listed[0]["output_offset"], listed[0]["written"]) == (0, "salvaged")
    data = rebuilt(tmp_path)
    assert data[start : start + 20_000] == sound[start : start + 20_000]
    assert data[2 * CLUSTER : start + 2 * CLUSTER] == sound[2 * CLUSTER : start + 2 * CLUSTER]


def test_what_lies_in_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    layout = Layout(60 * K, cluster_bits=14, backing_name=b"gone")
    chain = chain_of(Image(MemorySource(build(Recipe(layout, {1: Data(b"a"), 2: Zero(), 9: Data(b"b")})))))
    view = MappedView(chain.disk(absent_as_zero=True), GuestRange.at(K // 2, 20 * K))
    result = export(view, str(tmp_path / "out"), Choices())
    assert (tmp_path / "out").read_bytes() == b"a" * K + b"b" * K
    lines = (tmp_path / "out.pieces").read_text().splitlines()
    assert "or is named at the end" in lines[1]
    places = [tuple(int(word, 16) for word in line.split()[3:]) for line in lines if line.startswith("# not there")]
    assert places == [(K // 2, K // 2), (3 * K, 6 * K), (10 * K, 10 * K + K // 2)]
    assert any("lie in a file that is not there" in warning for warning in result.warnings)


def test_what_is_doubtful_and_in_no_piece_is_named(tmp_path: Path) -> None:
    recipe = RECIPES["mixed"]
    table = int(Image(MemorySource(build(recipe))).header.refcount_table_offset)
    disk = Image(MemorySource(build(Recipe(recipe.layout, recipe.clusters, damage={"L1[0]": table})))).active_disk()
    result = export(MappedView(disk, GuestRange.at(0, 9 * K)), str(tmp_path / "out"), Choices(on_error=OnError.ZERO))
    lines = (tmp_path / "out.pieces").read_text().splitlines()
    assert lines[-1].split()[1:] == ["doubtful", f"0x{K:08X}", f"0x{8 * K:08X}"], "the first word is an offset"
    assert any("that no piece holds are doubtful" in warning for warning in result.warnings)


def test_another_export_takes_the_list_away(tmp_path: Path) -> None:
    disk = Image(MemorySource(build(RECIPES["mixed"]))).active_disk()
    export(MappedView(disk), str(tmp_path / "out"), Choices())
    export(disk, str(tmp_path / "out"), Choices(force=True))
    assert os.listdir(tmp_path) == ["out"]
