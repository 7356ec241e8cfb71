"""Lists of damage: exactly the ranges that a recipe spoils, in every policy, target and kind of view."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.export.choices import Choices, OnError
from qcow2inspect.export.load import PATTERN
from qcow2inspect.export.raw import export
from qcow2inspect.image.follow import open_chain
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.image.view import View
from qcow2inspect.units import GuestRange
from tests.images import model, noise

K = 1 << 12
SPAN = 512
CLUSTERS: dict[int, Cluster] = {
    **{index: Data(noise(index, K)) for index in range(1, 12)},
    20: Compressed(b"packed"),
    **{SPAN + index: Data(noise(index, K)) for index in range(5)},
    2 * SPAN + 3: Data(b"last"),
}
SOUND = Recipe(Layout(2 * SPAN * K + (16 << 12), cluster_bits=12), CLUSTERS)
DAMAGE = {
    "L1[0].L2[4]": 0x777,  # unaligned
    "L1[0].L2[5]": 0x999,
    "L1[0].L2[20]": (1 << 62) + 0x3000,  # no stream
    "L1[1]": 0x1234 << 9 | 1 << 9,  # no table
}
SPOILED = [(4 * K, 2 * K), (20 * K, K), (SPAN * K, SPAN * K)]
"""Guest ranges that :data:`DAMAGE` spoils: offset and size."""
POLICIES = [OnError.ZERO, OnError.PATTERN, OnError.BEST]


def expected(disk: bytes, policy: OnError, spoiled: list[tuple[int, int]] = SPOILED) -> bytes:
    data = bytearray(disk)
    for start, size in spoiled:
        data[start : start + size] = (PATTERN * size)[:size] if policy is OnError.PATTERN else bytes(size)
    return bytes(data)


def listed(folder: Path) -> list[tuple[int, int]]:
    """Output offset and size of every range, those that touch each other as one; the map of ddrescue says the same."""
    found: list[tuple[int, int]] = []
    for one in json.loads((folder / "out.errors.json").read_text())["ranges"]:
        start, size = one["output_offset"], one["size"]
        if found and sum(found[-1]) == start:
            start, size = found[-1][0], found.pop()[1] + size
        found.append((start, size))
    rows = [line.split() for line in (folder / "out.map").read_text().splitlines() if line[0] != "#"][1:]
    bad: list[tuple[int, int]] = []
    for at, length, status in rows:
        start, size = int(at, 16), int(length, 16)
        if status == "+":
            continue
        if bad and sum(bad[-1]) == start:
            start, size = bad[-1][0], bad.pop()[1] + size
        bad.append((start, size))
    assert bad == found
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A damaged image, one with a damaged snapshot, an overlay over the damaged one."""
    made = tmp_path_factory.mktemp("images")
    (made / "damaged.qcow2").write_bytes(build(replace(SOUND, damage=DAMAGE)))
    taken = replace(SOUND, snapshots=(Snapshot(b"s", {0: Data(b"new"), SPAN: Data(b"new")}),))
    spoiled = {f"snap[0].{address}": value for address, value in DAMAGE.items()}
    (made / "snapshot.qcow2").write_bytes(build(replace(taken, damage=spoiled)))
    layout = replace(SOUND.layout, backing_name=b"damaged.qcow2", backing_format=b"qcow2")
    (made / "overlay.qcow2").write_bytes(build(Recipe(layout, {4: Data(b"over"), 2: Data(b"over")})))
    return made


def run(folder: Path, view: View, choices: Choices) -> list[tuple[int, int]]:
    export(view, str(folder / "out"), choices)
    return listed(folder)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("split", [0, 3 * K + 512])
def test_files_and_parts(policy: OnError, split: int, folder: Path, tmp_path: Path) -> None:
    with open_chain(folder / "damaged.qcow2") as chain:
        assert run(tmp_path, chain.disk(), Choices(on_error=policy, split=split * 200)) == SPOILED
    parts = sorted(path for path in tmp_path.iterdir() if path.name == "out" or path.suffix[1:].isdigit())
    assert len(parts) > bool(split)
    assert b"".join(part.read_bytes() for part in parts) == expected(model(SOUND), policy)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_range(policy: OnError, folder: Path, tmp_path: Path) -> None:
    low, high = 5 * K, 22 * K + 512
    with open_chain(folder / "damaged.qcow2") as chain:
        found = run(tmp_path, chain.disk(), Choices(on_error=policy, within=GuestRange.at(low, high - low)))
    assert found == [(0, K), (15 * K, K)]
    spoiled = [(5 * K, K), (20 * K, K)]
    assert (tmp_path / "out").read_bytes() == expected(model(SOUND), policy, spoiled)[low:high]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_snapshot_whose_damage_is_not_that_of_the_active_state(policy: OnError, folder: Path, tmp_path: Path) -> None:
    with open_chain(folder / "snapshot.qcow2") as chain:
        assert run(tmp_path, chain.disk("s", lenient=True), Choices(on_error=policy)) == SPOILED
        assert (tmp_path / "out").read_bytes() == expected(model(SOUND, CLUSTERS), policy)
        assert run(tmp_path, chain.disk(), Choices(on_error=policy, force=True)) == []


@pytest.mark.parametrize("policy", POLICIES)
def test_layers(policy: OnError, folder: Path, tmp_path: Path) -> None:
    """What an overlay holds itself does not depend on the damage behind it."""
    spoiled = [(5 * K, K), *SPOILED[1:]]
    with open_chain(folder / "overlay.qcow2", OpenGate(Follow.FOLDER)) as chain:
        assert run(tmp_path, chain.disk(), Choices(on_error=policy)) == spoiled
        assert {one["layer"] for one in json.loads((tmp_path / "out.errors.json").read_text())["ranges"]} == {1}
        alone = run(tmp_path, chain.layer_disk(1), Choices(on_error=policy, force=True))
        assert alone == SPOILED
        absent = run(tmp_path, chain.layer_disk(0), Choices(on_error=policy, force=True))
    assert absent == [(0, 2 * K), (3 * K, K), (5 * K, SOUND.layout.size - 5 * K)]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_pipe_says_how_much(policy: OnError, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[bytes] = []

    def write(fd: int, data: bytes) -> int:
        del fd
        got.append(bytes(data))
        return len(data)

    with open_chain(folder / "damaged.qcow2") as chain, monkeypatch.context() as patch:
        patch.setattr(os, "isatty", lambda fd: False)
        patch.setattr(os, "write", write)
        result = export(chain.disk(), "-", Choices(on_error=policy))
    assert b"".join(got) == expected(model(SOUND), policy)
    amount = sum(size for _, size in SPOILED)
    assert any(f"{amount:,} B" in warning and "could not be read" in warning for warning in result.warnings)
