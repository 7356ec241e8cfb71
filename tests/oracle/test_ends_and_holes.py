"""Files that end too early, go on too long, or have holes: missing bytes are zeros, as QEMU reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.image.image import Image
from tests.images import image_of, noise, raw_by_qemu, read_all

pytestmark = pytest.mark.oracle

MIXED: dict[int, Cluster] = {
    0: Data(noise(1, 4096)),
    1: Compressed(noise(2, 3000) + bytes(1096)),
    2: Zero(b"old"),
    3: Data(b"c"),
    600: Data(noise(3, 4096)),
    601: Compressed(b"far"),
}
RECIPES = {
    "standard": Recipe(Layout(4 << 20, cluster_bits=12), MIXED),
    "version 2": Recipe(Layout(4 << 20, 2, 12), {key: value for key, value in MIXED.items() if key != 2}),
    "extended": Recipe(
        Layout(34 << 20, cluster_bits=14, extended_l2=True),
        {0: Subclusters(0x0F0F, noise(4, 1 << 14)), 3: Data(b"x"), 2000: Data(b"far")},
    ),
}


def cuts(data: bytes, cluster: int) -> Iterator[int]:
    """Every cluster border, a byte before and after it, and the middle of the cluster."""
    for border in range(cluster, len(data), cluster):
        yield from (border - 1, border, border + 1, border + cluster // 2)


@pytest.mark.parametrize("name", RECIPES)
def test_truncated_files(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    data = build(RECIPES[name])
    cells = 0
    for end in cuts(data, RECIPES[name].layout.geometry.cluster_size):
        path = tmp_path / "cut.qcow2"
        path.write_bytes(data[:end])
        raw = raw_by_qemu(path)
        with Image.open(path) as image:
            disk = image.active_disk()
            if raw is None:
                with pytest.raises(Qcow2InspectError):
                    read_all(disk)
            else:
                assert read_all(disk) == raw, f"cut at {end:#x}"
                for extent in disk.extents():
                    if extent.past_end:
                        assert not any(raw[extent.guest.start : extent.guest.end])
        cells += 1
    record_property("cells truncated", cells)


@pytest.mark.parametrize("extra", [1, 511, 100_000])
def test_bytes_behind_the_image_change_nothing(
    extra: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    path = tmp_path / "longer.qcow2"
    path.write_bytes(build(RECIPES["standard"]) + b"\xee" * extra)
    raw = raw_by_qemu(path)
    with Image.open(path) as image:
        assert read_all(image.active_disk()) == raw
    record_property("cells trailing bytes", 1)


def punched(data: bytes, path: Path, start: int, end: int) -> None:
    """Write a file with a hole where bytes were."""
    with path.open("wb") as file:
        file.write(data[:start])
        file.truncate(len(data))
        file.seek(end)
        file.write(data[end:])


@pytest.mark.parametrize("name", RECIPES)
def test_holes_in_the_file(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    from qcow2inspect.export.raw import export_raw

    data = build(RECIPES[name])
    size = RECIPES[name].layout.geometry.cluster_size
    cells = 0
    for start in range(size, len(data), size):
        path, target = tmp_path / "holes.qcow2", tmp_path / "out.raw"
        punched(data, path, start, min(start + size, len(data)))
        raw = raw_by_qemu(path)
        with Image.open(path) as image:
            disk = image.active_disk()
            if raw is None:
                with pytest.raises(Qcow2InspectError):
                    read_all(disk)
            else:
                assert read_all(disk) == raw
                export_raw(disk, str(target), force=True)
                assert target.read_bytes() == raw
        cells += 1
    record_property("cells holes", cells)


FAR: dict[str, dict[str, int | bytes]] = {
    "data far behind the end": {"L1[0].L2[0]": 1 << 63 | 1 << 50},
    "data at the last possible offset": {"L1[0].L2[0]": 0x00FF_FFFF_FFFF_F000},
    "table far behind the end": {"L1[0]": 1 << 63 | 1 << 45},
    "stream far behind the end": {"L1[0].L2[1].host_offset": 1 << 50},
    "stream over the end": {"L1[0].L2[1].additional_sectors": 15 << 58},
    "L1 table far behind the end": {"hdr.l1_table_offset": 1 << 50},
    "L1 table in the header": {"hdr.l1_table_offset": 0},
}


@pytest.mark.parametrize("name", FAR)
def test_pointers_behind_the_end(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    recipe = RECIPES["standard"]
    path = tmp_path / "far.qcow2"
    path.write_bytes(build(Recipe(recipe.layout, recipe.clusters, damage=FAR[name])))
    raw = raw_by_qemu(path)
    disk = image_of(path.read_bytes()).active_disk()
    if raw is None:
        with pytest.raises(Qcow2InspectError):
            read_all(disk)
    else:
        assert read_all(disk) == raw
    record_property("cells pointers behind the end", 1)
