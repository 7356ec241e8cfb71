"""Damage and the policies: everything else comes out, and exactly the damaged ranges are listed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Compressed, Data, Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import CannotRead, Damaged
from qcow2inspect.export.choices import Choices, OnError
from qcow2inspect.export.load import PATTERN
from qcow2inspect.export.raw import export, preflight
from qcow2inspect.format.header import CompressionType
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.follow import chain_of, open_chain
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.image.image import Image
from qcow2inspect.image.view import RawDisk, View
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import GuestOffset
from tests.images import noise

CLUSTER = 65536
LIST = list[dict[str, object]]


class Failing(MemorySource):
    """A medium with sectors that cannot be read."""

    def __init__(self, data: bytes, bad: set[int]) -> None:
        super().__init__(data, "failing")
        self._bad = bad

    def read_at(self, offset: int, size: int) -> bytes:
        for sector in range(offset // 512, -(-(offset + size) // 512)):
            if sector in self._bad:
                raise CannotRead(f"failing: sector {sector}: Input/output error", exit_code=74)
        return super().read_at(offset, size)


def exported(view: View, folder: Path, policy: OnError) -> tuple[bytes, LIST, str]:
    """Bytes, listed ranges, and the ddrescue map without its head."""
    out = folder / "out.raw"
    export(view, str(out), Choices(on_error=policy))
    listed = json.loads((folder / "out.raw.errors.json").read_text())["ranges"]
    rows = [line for line in (folder / "out.raw.map").read_text().splitlines() if line[0] != "#"]
    assert (folder / "out.raw.manifest.json").exists()
    return out.read_bytes(), listed, "\n".join(" ".join(row.split()) for row in rows[1:])


def ranges(listed: LIST) -> list[tuple[object, ...]]:
    return [(one["guest_offset"], one["size"], one["kind"], one["written"]) for one in listed]


def broken_stream(kind: CompressionType, at: int) -> tuple[Image, bytes]:
    """Four compressed clusters, the stream of the second broken ``at`` bytes after its start; and the sound disk."""
    text = [b"".join(b"%d line %d\n" % (index, line) for line in range(6000))[:CLUSTER] for index in range(4)]
    data = bytearray(build(Recipe(Layout(4 * CLUSTER, compression=kind), dict(enumerate(map(Compressed, text))))))
    extents = list(Image(MemorySource(bytes(data))).active_disk().extents())
    assert [extent.kind for extent in extents] == [ClusterType.COMPRESSED] * 4
    host = extents[1].host
    assert host is not None
    data[host.start + at : host.start + at + 64] = b"\xff" * 64
    return Image(MemorySource(bytes(data))), b"".join(text)


@pytest.mark.parametrize("kind", list(CompressionType))
@pytest.mark.parametrize(("policy", "fill"), [(OnError.ZERO, b"\0"), (OnError.PATTERN, PATTERN)])
def test_a_broken_stream_is_replaced_and_listed(
    kind: CompressionType, policy: OnError, fill: bytes, tmp_path: Path
) -> None:
    image, disk = broken_stream(kind, 2)
    data, listed, rows = exported(image.active_disk(), tmp_path, policy)
    instead = (fill * CLUSTER)[:CLUSTER]
    assert data == disk[:CLUSTER] + instead + disk[2 * CLUSTER :]
    written = "pattern" if policy is OnError.PATTERN else "zeros"
    assert ranges(listed) == [(CLUSTER, CLUSTER, "unreadable", written)]
    assert "cannot be inflated" in str(listed[0]["reason"])
    assert rows == "0x00000000 0x00010000 +\n0x00010000 0x00010000 -\n0x00020000 0x00020000 +"


def test_best_keeps_what_came_out_of_the_stream(tmp_path: Path) -> None:
    image, disk = broken_stream(CompressionType.ZLIB, 5000)
    data, listed, _ = exported(image.active_disk(), tmp_path, OnError.BEST)
    (first, kept, *_), (start, rest, *_) = ranges(listed)
    assert [one[2:] for one in ranges(listed)] == [("unreadable", "salvaged"), ("unreadable", "zeros")]
    assert (first, start, int(str(kept)) + int(str(rest))) == (CLUSTER, CLUSTER + int(str(kept)), CLUSTER)
    assert data[CLUSTER:][:20_000] == disk[CLUSTER:][:20_000], "a third of the stream is sound"
    assert data[:CLUSTER] + data[2 * CLUSTER :] == disk[:CLUSTER] + disk[2 * CLUSTER :]
    assert not any(data[2 * CLUSTER - int(str(rest)) : 2 * CLUSTER])


def test_a_failing_medium_costs_its_sectors_and_no_more(tmp_path: Path) -> None:
    disk = noise(1, 8 * CLUSTER)
    data = build(Recipe(Layout(8 * CLUSTER), {i: Data(disk[i * CLUSTER : (i + 1) * CLUSTER]) for i in range(8)}))
    host = next(iter(Image(MemorySource(data)).active_disk().extents())).host
    assert host is not None
    assert host.size == CLUSTER, "an L2 table lies between the first cluster and the others"
    first = host.start // 512
    bad = {first + 3, first + 4, first + 128 + 700}
    out, listed, rows = exported(Image(Failing(data, bad)).active_disk(), tmp_path, OnError.ZERO)
    assert out[: 3 * 512] + out[5 * 512 : 700 * 512] == disk[: 3 * 512] + disk[5 * 512 : 700 * 512]
    assert out[701 * 512 :] == disk[701 * 512 :]
    assert [one[:2] for one in ranges(listed)] == [(3 * 512, 512), (4 * 512, 512), (700 * 512, 512)]
    assert [one["host_offset"] for one in listed] == [host.start + sector * 512 for sector in (3, 4, 828)]
    assert "0x00000600 0x00000400 -\n0x00000A00" in rows
    with pytest.raises(CannotRead, match=r"guest 0x600\.\.0x800 \(host .*\): failing: sector \d+: Input/output error"):
        export(Image(Failing(data, bad)).active_disk(), str(tmp_path / "fails.raw"), Choices())
    assert not (tmp_path / "fails.raw").exists()


def test_a_failing_medium_near_the_header_costs_its_sectors_and_no_more(tmp_path: Path) -> None:
    data = build(Recipe(Layout(1 << 16, cluster_bits=9), {index: Data(b"x") for index in range(128)}))
    host = Image(MemorySource(data)).active_disk().lookup(GuestOffset(5 * 512)).host
    assert host is not None
    assert host.start < 1 << 16
    disk = Image(Failing(data, {host.start // 512})).active_disk()
    out, listed, _ = exported(disk, tmp_path, OnError.ZERO)
    assert ranges(listed) == [(5 * 512, 512, "unreadable", "zeros")]
    assert out == b"x" * (5 * 512) + bytes(512) + b"x" * (122 * 512)


def test_a_table_that_cannot_be_read_costs_what_it_maps(tmp_path: Path) -> None:
    layout = Layout(4 << 20, cluster_bits=9)
    disk = noise(2, 4 << 20)
    data = build(Recipe(layout, {i: Data(disk[i * 512 : (i + 1) * 512]) for i in range(8192)}))
    image = Image(MemorySource(data))
    table = image.active_disk().mapping.l1[70].l2_table_offset
    span = image.geometry.guest_span(70)
    bad = Image(Failing(data, {table // 512}))
    out, listed, _ = exported(bad.active_disk(), tmp_path, OnError.BEST)
    assert [one[:2] for one in ranges(listed)] == [(int(span.start), span.size)]
    assert f"failing: sector {table // 512}" in str(listed[0]["reason"])
    assert out == disk[: span.start] + bytes(span.size) + disk[span.end :]


def test_bad_pointers_are_replaced_and_listed(tmp_path: Path) -> None:
    from qcow2inspect.build.demo import damaged_recipe, demo_disk

    disk = Image(MemorySource(build(damaged_recipe()))).active_disk()
    sound, planned = bytearray(demo_disk()), []
    for extent in disk.extents():
        if extent.error is not None or extent.past_end:
            planned.append(extent.guest)
            sound[extent.guest.start : extent.guest.end] = bytes(extent.guest.size)
    out, listed, _ = exported(disk, tmp_path, OnError.ZERO)
    assert len(planned) == 2
    assert [one[:2] for one in ranges(listed)] == [(int(guest.start), guest.size) for guest in planned]
    assert len(out) == len(sound)
    assert sum(a != b for a, b in zip(out, sound, strict=True)) < CLUSTER, "one entry points to another cluster"


def test_what_lies_past_the_end_is_listed_under_every_policy(tmp_path: Path) -> None:
    whole = build(Recipe(Layout(1 << 20), {index: Data(b"x") for index in range(16)}))
    disk = Image(MemorySource(whole[: len(whole) - 3 * CLUSTER])).active_disk()
    export(disk, str(tmp_path / "out.raw"), Choices())
    listed = json.loads((tmp_path / "out.raw.errors.json").read_text())["ranges"]
    assert ranges(listed) == [(13 * CLUSTER, 3 * CLUSTER, "past-end", "zeros")]


@pytest.mark.parametrize("cut", ["base", "top"])
def test_what_the_end_of_a_file_cuts_is_listed_under_every_policy(cut: str, tmp_path: Path) -> None:
    layout = Layout(8 * CLUSTER, backing_name=b"base", backing_format=b"qcow2")
    (tmp_path / "base").write_bytes(build(Recipe(Layout(8 * CLUSTER), {2: Data(b"a"), 7: Data(b"b")})))
    (tmp_path / "top").write_bytes(build(Recipe(layout, {2: Data(b"c"), 5: Data(b"d")})))
    at = {"base": 7, "top": 5}[cut] * CLUSTER
    with open_chain(tmp_path / "top", OpenGate(Follow.ANY)) as chain:
        host = chain.disk().lookup(GuestOffset(at)).host
    assert host is not None
    os.truncate(tmp_path / cut, host.start + 100)
    with open_chain(tmp_path / "top", OpenGate(Follow.ANY)) as chain:
        result = export(chain.disk(), str(tmp_path / "out.raw"), Choices())
    assert any("ends too early: 65,436 B" in warning for warning in result.warnings)
    listed = json.loads((tmp_path / "out.raw.errors.json").read_text())["ranges"]
    assert ranges(listed) == [(at + 100, CLUSTER - 100, "past-end", "zeros")]


def test_absent_data_is_listed(tmp_path: Path) -> None:
    recipe = Recipe(Layout(4 * CLUSTER, backing_name=b"lost"), {1: Data(b"x")})
    disk = chain_of(Image(MemorySource(build(recipe)))).disk(absent_as_zero=True)
    export(disk, str(tmp_path / "out.raw"), Choices())
    listed = json.loads((tmp_path / "out.raw.errors.json").read_text())["ranges"]
    assert ranges(listed) == [(0, CLUSTER, "absent", "zeros"), (2 * CLUSTER, 2 * CLUSTER, "absent", "zeros")]
    assert "0x00020000  0x00020000  ?" in (tmp_path / "out.raw.map").read_text()


def test_without_damage_nothing_lies_beside_the_output(tmp_path: Path) -> None:
    disk = Image(MemorySource(build(Recipe(Layout(1 << 20), {0: Data(b"x")})))).active_disk()
    export(disk, str(tmp_path / "out.raw"), Choices())
    assert os.listdir(tmp_path) == ["out.raw"]


def test_a_list_of_an_earlier_export_does_not_stay(tmp_path: Path) -> None:
    image, _ = broken_stream(CompressionType.ZLIB, 2)
    export(image.active_disk(), str(tmp_path / "out.raw"), Choices(on_error=OnError.ZERO))
    sound = Image(MemorySource(build(Recipe(Layout(1 << 20), {0: Data(b"x")})))).active_disk()
    export(sound, str(tmp_path / "out.raw"), Choices(force=True))
    assert os.listdir(tmp_path) == ["out.raw"]


def test_the_preflight_says_what_will_be_replaced(tmp_path: Path) -> None:
    recipe = Recipe(Layout(4 * CLUSTER, backing_name=b"lost"), {1: Data(b"x")})
    disk = Image(MemorySource(build(recipe))).active_disk()
    assert preflight(disk, str(tmp_path / "out.raw")).problem is not None
    flight = preflight(disk, str(tmp_path / "out.raw"), choices=Choices(on_error=OnError.BEST))
    assert flight.problem is None
    assert "196,608 B (192 KiB) cannot be read, from guest offset 0x0 on" in flight.warnings[0]


def test_a_raw_disk_that_shrinks_is_not_filled_with_zeros(tmp_path: Path) -> None:
    class Shrinking(MemorySource):
        def read_at(self, offset: int, size: int) -> bytes:
            return super().read_at(offset, size)[: max(0, 1000 - offset)]

    with pytest.raises((CannotRead, Damaged), match="became shorter while it was read"):
        export(RawDisk(Shrinking(bytes(4096))), str(tmp_path / "out.raw"), Choices())
