"""A medium that fails, a file that is cut or replaced while it is open: errors with a place, never wrong bytes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Compressed, Data, DirtyBitmap, Recipe, Snapshot, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import BadAddress, CannotRead, Damaged, Qcow2InspectError
from qcow2inspect.image.follow import open_chain
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.image.view import View
from qcow2inspect.rules import examine
from qcow2inspect.source.file import FileSource
from qcow2inspect.survey.survey import take_survey
from qcow2inspect.units import HostOffset, HostRange
from tests.images import model, noise, read_all
from tests.source.faulty import FaultySource

RECIPE = Recipe(
    Layout(60 << 10, cluster_bits=12),
    {0: Data(noise(1, 4096)), 1: Compressed(b"text " * 40), 2: Zero(b"old"), 4: Data(b"d"), 9: Data(noise(2, 4096))},
    (Snapshot(b"one", {0: Data(b"n")}), Snapshot(b"two")),
    (DirtyBitmap(b"daily", (0,)),),
)
DATA = build(RECIPE)
DISK = model(RECIPE)
OTHER = build(Recipe(Layout(1 << 20, cluster_bits=9), {0: Data(b"another image"), 70: Data(b"x")}))


def bytes_or_none(disk: View, step: int) -> Iterator[tuple[int, bytes | None]]:
    for at in range(0, disk.size, step):
        try:
            yield at, disk.read_at(at, step)
        except Qcow2InspectError:
            yield at, None


@given(st.integers(0, len(DATA) // 512 - 1), st.sampled_from([512, 4096, 65536]))
def test_what_can_be_read_around_a_bad_sector_is_right(sector: int, size: int) -> None:
    source = FaultySource(DATA, broken=(HostRange.at(sector * 512, size),))
    if sector < 8:  # the header cluster
        with pytest.raises(CannotRead):
            Image(source).active_disk(lenient=True)
        return
    disk = Image(source).active_disk(lenient=True)
    for at, data in bytes_or_none(disk, 4096):
        assert data is None or data == DISK[at : at + 4096]


def test_every_bad_sector_costs_no_more_than_what_depends_on_it() -> None:
    """A data cluster that fails takes itself along; only header, L1 and L2 tables take all."""
    lost = {}
    for sector in range(8, len(DATA) // 512):
        image = Image(FaultySource(DATA, broken=(HostRange.at(sector * 512, 512),)))
        disk = image.active_disk(lenient=True)
        lost[sector * 512] = sum(data is None for _, data in bytes_or_none(disk, 4096))
    image = Image(FaultySource(DATA))
    tables = (int(image.header.l1_table_offset), int(image.l1[0].l2_table_offset))
    for at, count in lost.items():
        assert count <= 1 or at - at % 4096 in tables, f"{count} clusters lost for the sector at {at:#x}"
    assert all(lost[at] == 15 for at in tables)


def test_bad_sectors_that_guest_data_does_not_depend_on() -> None:
    image = Image(FaultySource(DATA))
    places = {
        "QCOW-HDR-SNAP-OFFSET": int(image.header.snapshots_offset),
        "QCOW-BMP-DIR-BAD": int(image.bitmaps[0].at),
    }
    for code, at in places.items():
        broken = Image(FaultySource(DATA, broken=(HostRange.at(at, 512),)))
        assert [obstacle.code for obstacle in broken.obstacles] == [code]
        with pytest.raises(Damaged, match="Input/output error"):
            broken.active_disk()
        assert read_all(broken.active_disk(lenient=True)) == DISK


@pytest.mark.parametrize(
    "act",
    [
        lambda image: examine(take_survey(image)),
        lambda image: [Tree(image).locate(HostOffset(at)) for at in range(0, len(DATA), 512)],
        lambda image: [image.refcount(number) for number in range(20)],
        lambda image: list(image.active_disk(lenient=True).extents()),
    ],
    ids=["rules", "locate", "refcounts", "map"],
)
def test_a_bad_sector_anywhere_is_an_error_with_a_place(act: Callable[[Image], object]) -> None:
    said = []
    for sector in range(len(DATA) // 512):
        try:
            act(Image(FaultySource(DATA, broken=(HostRange.at(sector * 512, 512),))))
        except CannotRead as error:
            said.append(error.what)
    assert said
    assert all("failed" in what and "0x" in what for what in said)


@given(st.integers(0, len(DATA)), st.integers(0, 30))
def test_a_file_that_is_cut_while_it_is_open(end: int, calm: int) -> None:
    source = FaultySource(DATA, end=end, calm=calm)
    with contextlib.suppress(Qcow2InspectError, BadAddress):
        image = Image(source)
        data = read_all(image.active_disk())
        assert len(data) == len(DISK)
        examine(take_survey(image))
        for at in (0, 0x70, end, len(DATA) - 1):
            Tree(image).locate(HostOffset(at))


@given(st.integers(0, 30))
def test_a_file_that_becomes_another_while_it_is_open(calm: int) -> None:
    with contextlib.suppress(Qcow2InspectError, BadAddress):
        image = Image(FaultySource(DATA, later=OTHER.ljust(len(DATA), b"\0"), calm=calm))
        disk = image.active_disk()
        assert len(read_all(disk)) == disk.size
        examine(take_survey(image))


def test_a_short_read_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "short.qcow2"
    path.write_bytes(DATA)
    real = os.pread
    asked: list[int] = []

    def few(fd: int, size: int, offset: int) -> bytes:
        asked.append(size)
        return real(fd, min(size, 1 + len(asked) % 700), offset)

    with open_chain(path) as chain:
        monkeypatch.setattr(os, "pread", few)
        assert read_all(chain.disk(), 5000) == DISK
    assert len(asked) > 100


def test_a_failing_read_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "failing.qcow2"
    path.write_bytes(DATA)
    real = os.pread

    def fail(fd: int, size: int, offset: int) -> bytes:
        if offset >= 8192:
            raise OSError(5, "Input/output error")
        return real(fd, size, offset)

    with open_chain(path) as chain:
        monkeypatch.setattr(os, "pread", fail)
        with pytest.raises(CannotRead, match=r"reading .* bytes at 0x.* failed: Input/output error") as caught:
            chain.disk(lenient=True).read_at(0, 4096)
        assert caught.value.exit_code == 74
        assert "ddrescue" in caught.value.hint


def test_a_file_that_is_cut_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "cut.qcow2"
    path.write_bytes(DATA)
    with FileSource(path) as source:
        os.truncate(path, 1000)
        assert source.changed
        assert source.read_at(0, 5000) == DATA[:1000]
        assert source.read_at(2000, 10) == b""
        assert source.size == len(DATA)


def test_a_file_that_is_replaced_stays_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "replaced.qcow2"
    path.write_bytes(DATA)
    with open_chain(path) as chain:
        (tmp_path / "new").write_bytes(OTHER)
        os.replace(tmp_path / "new", path)
        assert read_all(chain.disk()) == DISK


def test_a_file_that_is_overwritten_in_place_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "overwritten.qcow2"
    path.write_bytes(DATA)
    with FileSource(path) as source:
        with path.open("r+b") as file:
            file.write(OTHER[:100])
        os.utime(path, ns=(0, 0))
        assert source.changed
