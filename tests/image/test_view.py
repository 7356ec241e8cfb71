"""Views: layers alone, windows, raw disks; an empty range has no extents."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Data, Recipe, Zero
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.chain import Chain
from qcow2inspect.image.follow import chain_of, open_chain
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.image.view import HostFile, RawDisk, Window
from qcow2inspect.source.file import FileSource
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import GuestOffset, GuestRange
from tests.image.chains import K, agree, chains, layout, write
from tests.image.v1_images import V1Recipe
from tests.images import image_of, noise, read_all

ANY = OpenGate(Follow.ANY)


def test_layers_alone(tmp_path: Path) -> None:
    write(tmp_path / "base", noise(4, 3 * K + 5))
    write(tmp_path / "middle", Recipe(layout("base", 4 * K, 12, b"raw"), {2: Data(b"middle")}))
    with open_chain(write(tmp_path / "top", Recipe(layout("middle"), {0: Data(b"top"), 5: Zero()})), ANY) as chain:
        top, middle, base = map(chain.layer_disk, range(3))
        assert (top.size, middle.size, base.size) == (8 * K, 4 * K, 3 * K + 512)
        assert middle.read_at(0, 3 * 4096) == bytes(8192) + (b"middle" * 4096)[:4096]
        assert read_all(base) == noise(4, 3 * K + 5).ljust(base.size, b"\0")
        for view in (top, middle, base):
            agree(view)
            assert {extent.layer for extent in view.extents()} == {0}
        assert {extent.kind for extent in middle.extents() if extent.absent} == {ClusterType.UNALLOCATED}
        assert not any(extent.absent for extent in base.extents())
        with pytest.raises(IndexError):
            chain.layer_disk(3)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 100_000])
def test_raw_disks_of_odd_sizes_with_holes(size: int, tmp_path: Path) -> None:
    path = tmp_path / "raw"
    with path.open("wb") as file:
        for at in range(8192, size - 8192, 32768):
            file.seek(at)
            file.write(noise(at, 4096))
        file.truncate(size)
    with FileSource(path) as source:
        disk = RawDisk(source)
        assert disk.size == -(-size // 512) * 512
        assert read_all(disk, 999) == path.read_bytes().ljust(disk.size, b"\0")
        agree(disk)
        for extent in disk.extents():
            assert disk.read_extent(extent) == read_all(disk)[extent.guest.start : extent.guest.end]
            assert (disk.plain_source(extent) is None) == (extent.kind is ClusterType.ZERO_ALLOC)
        with pytest.raises(IndexError):
            disk.lookup(GuestOffset(disk.size))
        assert disk.read_at(disk.size + 5, 5) == b""


@pytest.mark.parametrize(
    "make", [HostFile, RawDisk, lambda source: Window(RawDisk(source), GuestRange.at(0, 512), "w")]
)
def test_an_empty_range_has_no_extents(make: type[RawDisk]) -> None:
    view = make(MemorySource(bytes(1024)))
    for empty in (GuestRange.at(0, 0), GuestRange.at(100, 0), GuestRange.at(5000, 10)):
        assert not list(view.extents(empty))


def test_an_empty_range_of_a_disk_has_no_extents() -> None:
    for disk in (
        chain_of(image_of(Recipe(Layout(8 * K), {1: Data(b"base")}))).disk(),
        V1Recipe(K).image().active_disk(),
    ):
        assert not list(disk.extents(GuestRange.at(100, 0)))
        assert not list(disk.extents(GuestRange.at(1 << 40, 10)))


@given(chains(), st.data())
def test_windows(made: tuple[Chain, bytes], data: st.DataObject) -> None:
    chain, expected = made
    low = data.draw(st.integers(0, len(expected)))
    part = GuestRange.at(low, data.draw(st.integers(0, len(expected))))
    window = Window(chain.disk(), part, "part")
    assert read_all(window, 5000) == expected[part.start : part.end]
    assert b"".join(map(window.read_extent, window.extents())) == expected[part.start : part.end]
    agree(window)
