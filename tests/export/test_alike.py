"""Many neighbours with one fate are one row: exact in their bytes, the same however often an export was stopped."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from qcow2inspect.build.recipe import Data, Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.export.alike import SINGLE
from qcow2inspect.export.choices import Choices, OnError
from qcow2inspect.export.journal import Journal
from qcow2inspect.export.load import Trouble
from qcow2inspect.export.mapped import MappedView
from qcow2inspect.export.raw import export
from qcow2inspect.format.mapping import L2Entry
from qcow2inspect.image.disk import Disk
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import GuestRange, HostRange
from tests.images import image_of, noise

K = 1 << 12
SPAN = 512
COMPRESSED = L2Entry.compressed.mask


def troubles(chance: random.Random, count: int) -> list[Trouble]:
    """Ranges as damaged tables give them: long runs that are alike, gaps, other fates, some that continue exactly."""
    made: list[Trouble] = []
    at = 0
    while len(made) < count:
        kind, host = chance.choice(["unreadable", "past-end"]), chance.choice([None, 1 << 30])
        for number in range(chance.choice([1, 3, SINGLE - 1, SINGLE, SINGLE + 1, 60])):
            reason = chance.choice(["no stream at 0x%x", "%d is crooked", "always"])
            where = None if host is None else HostRange.at(chance.choice([0, host + at]), 10)
            text = reason % number if "%" in reason else reason
            made.append(Trouble(GuestRange.at(at, 10), where, 0, kind, text, "zeros"))
            at += 10
        at += chance.choice([0, 10])
    return made


@pytest.mark.parametrize("seed", range(12))
def test_checkpoints_do_not_show(seed: int) -> None:
    chance = random.Random(seed)
    added = troubles(chance, 300)
    calm, disturbed = Journal.passing(), Journal.passing()
    border = int(chance.choice(added).guest.start)
    for journal in (calm, disturbed):
        journal.is_border = border.__eq__
    for trouble in added:
        calm.add(trouble)
        disturbed.add(trouble)
        if chance.random() < 0.2:
            disturbed.checkpoint(int(trouble.guest.end))
    found, again = list(calm.troubles()), list(disturbed.troubles())
    for journal in (calm, disturbed):
        journal.close(keep=False)
    assert again == found
    assert len(found) < len(added) // 2
    assert any(one.guest.start == border for one in found)
    bytes_of = {(at, one.kind) for one in found for at in range(one.guest.start, one.guest.end, 10)}
    assert bytes_of == {(int(one.guest.start), one.kind) for one in added}
    for one in found:
        first = next(old for old in added if old.guest.start == one.guest.start)
        assert (one.reason, one.host and one.host.start) == (first.reason, first.host and first.host.start)
        kinds = {reason.strip("0123456789") for reason in (one.reason, *one.others)}
        assert len(kinds) == 1 + len(one.others)


def crooked(raw: dict[int, int]) -> Image:
    """An image with other L2 entries."""
    recipe = Recipe(Layout(2 * SPAN * K, cluster_bits=12), {0: Data(b"x"), SPAN - 1: Data(b"y"), SPAN + 9: Data(b"z")})
    return image_of(build(Recipe(recipe.layout, recipe.clusters, damage={f"L1[0].L2[{i}]": w for i, w in raw.items()})))


def listed(folder: Path) -> list[dict[str, object]]:
    return list(json.loads((folder / "out.errors.json").read_text())["ranges"])


@pytest.mark.parametrize("policy", [OnError.ZERO, OnError.PATTERN, OnError.BEST])
def test_a_table_of_garbage_is_a_few_rows(policy: OnError, tmp_path: Path) -> None:
    crooks = {index: 0x7000_0000 + 512 * (index * 11 % 97 * 8 + 3) for index in range(20, 200)}
    streams = {index: COMPRESSED | 0x9000_0000 + index * 777 for index in range(200, 400)}
    disk = crooked({**crooks, **streams, 410: 0x777, 411: 0xFFFF}).active_disk()
    export(disk, str(tmp_path / "out"), Choices(on_error=policy))
    rows = listed(tmp_path)
    assert [(row["output_offset"], row["size"], row.get("several", False)) for row in rows] == [
        (20 * K, 380 * K, True),
        (410 * K, K, False),
        (411 * K, K, False),
    ]
    assert [row["host_offset"] for row in rows] == [crooks[20] & L2Entry.host_cluster_offset.mask, 0x600, 0xFE00]
    assert f"points to host {crooks[20]:#x}, no multiple of the cluster size" in str(rows[0]["reason"])
    assert "the image file ends before the compressed cluster at host 0x900" in str(rows[0]["others"])
    assert len(rows[0]["others"]) == 1  # type: ignore[arg-type]  # a list
    status = [line.split()[::2] for line in (tmp_path / "out.map").read_text().splitlines() if line.startswith("0x")][
        1:
    ]
    assert [(int(at, 16) // K, kind) for at, kind in status] == [
        (0, "+"),
        (20, "-"),
        (400, "+"),
        (410, "-"),
        (412, "+"),
    ]


def test_pieces_of_mapped_output_stay_apart(tmp_path: Path) -> None:
    crooks = {index: 0x7000_0000 + 512 * (index * 11 % 97 * 8 + 3) for index in (*range(20, 60), *range(70, 90))}
    view = MappedView(crooked(crooks).active_disk())
    export(view, str(tmp_path / "out"), Choices(on_error=OnError.ZERO))
    rows = [(row["guest_offset"], row["size"], row["several"]) for row in listed(tmp_path)]
    assert rows == [(20 * K, 40 * K, True), (70 * K, 20 * K, True)]


def test_what_continues_in_the_file_is_one_range_however_long(tmp_path: Path) -> None:
    whole = build(Recipe(Layout(100 * K, cluster_bits=12), {index: Data(b"x") for index in range(100)}))
    disk = Image(MemorySource(whole[: -90 * K])).active_disk()
    export(disk, str(tmp_path / "out"), Choices())
    (row,) = listed(tmp_path)
    assert (row["output_offset"], row["size"], row["host_size"]) == (10 * K, 90 * K, 90 * K)
    assert "several" not in row


def noisy(seed: int) -> bytes:
    """An image in whose L2 tables noise of many kinds lies, with extended entries for odd seeds."""
    chance = random.Random(seed)
    layout = Layout(4 << 22, cluster_bits=14, extended_l2=bool(seed % 2))
    data = bytearray(build(Recipe(layout, {index: Data(noise(index, 1 << 14)) for index in range(0, 1024, 9)})))
    image, end = image_of(bytes(data)), len(data)
    kinds: list[Callable[[], int]] = [
        lambda: chance.getrandbits(64),
        lambda: COMPRESSED | chance.randrange(2 * end),
        lambda: (end + chance.randrange(end)) >> 14 << 14,
        lambda: chance.randrange(end) | 512,
    ]
    for index in range(image.header.l1_size):
        at = int(image.l1[index].l2_table_offset)
        for _ in range(16 if at else 0):
            first, step = chance.randrange(1 << 14) // 8 * 8, chance.choice([1, 3, 20, 200])
            made: Callable[[], int] = chance.choice(kinds)
            words = b"".join(made().to_bytes(8, "big") for _ in range(step))[: (1 << 14) - first]
            data[at + first : at + first + len(words)] = words
    return bytes(data)


@pytest.mark.parametrize("seed", range(6))
def test_fewer_extents_change_neither_bytes_nor_lists(seed: int, tmp_path: Path) -> None:
    data, done = noisy(seed), []
    for disk_of in (Disk.coarse, lambda disk: disk):
        for policy in (OnError.ZERO, OnError.PATTERN, OnError.BEST):
            with mock.patch.object(Disk, "coarse", disk_of):
                export(image_of(data).active_disk(), str(tmp_path / "out"), Choices(on_error=policy, force=True))
            rows = [(row["output_offset"], row["size"], row["kind"], row["written"]) for row in listed(tmp_path)]
            done.append(((tmp_path / "out").read_bytes(), (tmp_path / "out.map").read_text(), rows))
    assert done[:3] == done[3:]
    assert min(len(rows) for _, _, rows in done) > 3
