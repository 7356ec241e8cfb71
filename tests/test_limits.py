"""Every limit of SECURITY.md: what lies one below it and at it passes, one above it does not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Compressed, DirtyBitmap, Recipe, Snapshot, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.cipher.derivation import MAX_ITERATIONS
from qcow2inspect.cipher.luks import slot_trouble, unlock
from qcow2inspect.errors import Damaged
from qcow2inspect.format.luks import LuksKeySlot, SlotState
from qcow2inspect.format.snapshot import SnapshotEntry
from qcow2inspect.image.follow import open_chain
from qcow2inspect.image.gate import Follow, OpenGate, read_name
from qcow2inspect.image.image import Image
from qcow2inspect.image.v1 import V1Image
from qcow2inspect.source.file import FileSource
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import HostOffset
from tests.cipher.volumes import Volume
from tests.image.v1_images import V1Recipe
from tests.images import ROOT, image_of
from tests.source.faulty import FaultySource

M = 1 << 20
PLAIN = Layout(M)
BITMAP = (DirtyBitmap(b"one"),)


@dataclass(frozen=True)
class Limit:
    """One row of the table.

    Attributes:
        row: what the table calls it.
        most: the largest value that passes.
        code: the obstacle beyond it.
        recipe: an image with a value.
    """

    row: str
    most: int
    code: str
    recipe: Callable[[int], Recipe]


def field(name: str, layout: Layout = PLAIN) -> Callable[[int], Recipe]:
    return lambda value: Recipe(layout, damage={name: value})


LIMITS = [
    Limit("header length, extensions", 65536, "QCOW-HDR-LENGTH-CLUSTER", field("hdr.header_length")),
    Limit("L1 table, active or of a snapshot", 4_194_304, "QCOW-HDR-L1-LARGE", field("hdr.l1_size")),
    Limit(
        "refcount table",
        8_388_608 // 512,
        "QCOW-HDR-RT-LARGE",
        field("hdr.refcount_table_clusters", replace(PLAIN, cluster_bits=9)),
    ),
    Limit("snapshots", 65_536, "QCOW-HDR-SNAP-COUNT", field("hdr.nb_snapshots")),
    Limit(
        "extra data of a snapshot",
        1_024,
        "QCOW-SNAP-EXTRA-HUGE",
        lambda value: Recipe(PLAIN, snapshots=(Snapshot(b"one", extra=bytes(value)),)),
    ),
    Limit(
        "backing file name",
        1_023,
        "QCOW-BACK-LONG",
        field("hdr.backing_file_size", replace(PLAIN, backing_name=b"base", backing_format=b"raw")),
    ),
    Limit(
        "backing file format name",
        15,
        "QCOW-BACK-FMT-LONG",
        lambda value: Recipe(replace(PLAIN, backing_name=b"base", backing_format=b"f" * value)),
    ),
    Limit(
        "bitmaps",
        65_535,
        "QCOW-BMP-EXT-BAD",
        lambda value: Recipe(PLAIN, bitmaps=BITMAP, damage={"ext[0].data.nb_bitmaps": value}),
    ),
    Limit(
        "data of a bitmap",
        536_870_912 // 65536,
        "QCOW-BMP-ENTRY-BAD",
        lambda entries: Recipe(
            PLAIN,
            bitmaps=(DirtyBitmap(b"one", granularity_bits=9),),
            damage={"hdr.size": entries << 28, "bitmap[0].bitmap_table_size": entries},
        ),
    ),
    Limit(
        "bitmap directory",
        67_107_840,
        "QCOW-BMP-EXT-BAD",
        lambda value: Recipe(PLAIN, bitmaps=BITMAP, damage={"ext[0].data.bitmap_directory_size": value}),
    ),
]


def codes(recipe: Recipe) -> set[str]:
    return {obstacle.code for obstacle in image_of(recipe).obstacles}


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.row)
def test_below_at_and_above(limit: Limit) -> None:
    seen = [limit.code in codes(limit.recipe(limit.most + step)) for step in (-1, 0, 1)]
    assert seen == [False, False, True]


@pytest.mark.parametrize(("bits", "opens"), [(8, False), (9, True), (10, True), (20, True), (21, True), (22, False)])
def test_cluster_sizes(bits: int, opens: bool) -> None:
    data = bytearray(build(Recipe(PLAIN)))
    data[20:24] = bits.to_bytes(4, "big")
    if opens:
        assert Image(MemorySource(bytes(data))).geometry.cluster_bits == bits
    else:
        with pytest.raises(Damaged, match="possible are 9 to 21"):
            Image(MemorySource(bytes(data)))


@pytest.mark.parametrize(("step", "tried"), [(-1, True), (0, True), (1, False)])
def test_iterations(step: int, tried: bool) -> None:
    slot = LuksKeySlot(SlotState.ENABLED, MAX_ITERATIONS + step, bytes(32), 8, 4000)
    assert (slot_trouble(slot) == "") is tried
    volume = Volume(passphrases={})
    volume.change_header(mk_digest_iterations=MAX_ITERATIONS + step)
    with pytest.raises(Damaged, match="0 active key slots" if tried else "iterations of the master key digest"):
        unlock(volume.header, volume.read, b"secret")


@pytest.mark.parametrize(("step", "is_local"), [(-1, True), (0, True), (1, False)])
def test_json_names(step: int, is_local: bool) -> None:
    options = '{"driver":"qcow2","file.filename":"base"}'
    name = "json:" + options[:-1].ljust(65_536 + step - 1) + "}"
    assert (read_name(name.encode()).path == "base") is is_local


@pytest.mark.parametrize("files", [63, 64, 65])
def test_files_in_a_chain(files: int, tmp_path: Path) -> None:
    for number in range(files):
        last = number == files - 1
        name = b"" if last else f"{number + 1}.qcow2".encode()
        layout = Layout(512, cluster_bits=9, backing_name=name, backing_format=b"" if last else b"qcow2")
        (tmp_path / f"{number}.qcow2").write_bytes(build(Recipe(layout)))
    with open_chain(tmp_path / "0.qcow2", OpenGate(Follow.ANY)) as chain:
        assert len(chain.layers) == min(files, 64)
        assert (chain.end is None) is (files <= 64)
        assert chain.layers[-1].end_code == ("" if files <= 64 else "QCOW-BACK-DEPTH")


def snapshot_table(path: Path, size: int) -> None:
    """An image whose snapshot table has this many bytes, most of them in holes."""
    longest = SnapshotEntry(HostOffset(0), 0, 0, 65_528, 0, 0, 0, 0, 16).encode() + bytes(16)
    step = len(longest) + 65_528
    count, at = size // step + 1, M
    path.write_bytes(build(Recipe(PLAIN, damage={"hdr.nb_snapshots": count, "hdr.snapshots_offset": at})))
    with path.open("r+b") as file:
        for index in range(count - 1):
            file.seek(at + index * step)
            file.write(longest)
        rest = size - (count - 1) * step - len(longest)
        file.seek(at + (count - 1) * step)
        file.write(SnapshotEntry(HostOffset(0), 0, 0, rest, 0, 0, 0, 0, 16).encode() + bytes(16))
        file.truncate(at + size + M)


@pytest.mark.oracle
@pytest.mark.parametrize("step", [-1, 0, 1])
def test_snapshot_table(step: int, tmp_path: Path) -> None:
    path = tmp_path / "image"
    snapshot_table(path, 67_108_864 + step)
    with FileSource(path) as source:
        refused = "QCOW-SNAP-TABLE-HUGE" in {obstacle.code for obstacle in Image(source).obstacles}
    by_qemu = subprocess.run(["qemu-img", "info", "-f", "qcow2", str(path)], capture_output=True, check=False)
    assert (refused, b"Snapshot table is too big" in by_qemu.stderr) == (step > 0, step > 0), by_qemu.stderr


@pytest.mark.parametrize(("size", "said"), [(0, "are 1 to 64"), (63, "a key of 31"), (65, "are 1 to 64")])
def test_luks_key(size: int, said: str) -> None:
    volume = Volume()
    assert unlock(volume.header, volume.read, b"secret").key_size == 64
    volume.change_header(key_bytes=size)
    with pytest.raises(Damaged, match=said):
        unlock(volume.header, volume.read, b"secret")


@pytest.mark.parametrize(("stripes", "tried"), [(3_999, False), (4_000, True), (4_001, False)])
def test_luks_stripes(stripes: int, tried: bool) -> None:
    volume = Volume()
    volume.change(0, stripes=stripes)
    assert (slot_trouble(volume.header.slots[0]) == "") is tried
    if tried:
        assert unlock(volume.header, volume.read, b"secret").slot_index == 0
    else:
        with pytest.raises(Damaged, match="none that can be tried"):
            unlock(volume.header, volume.read, b"secret")


def reads_of_the_first(image: Image | V1Image, source: FaultySource, offsets: Iterable[int]) -> int:
    """How much oftener the file is asked for the first offset than for the last, when all were read once."""
    disk = image.active_disk()
    first, *others = (int(offset) for offset in offsets)
    for offset in (first, *others):
        disk.read_at(offset, 1)
    counts = [source.reads]
    for offset in (others[-1], first):
        disk.read_at(offset, 1)
        counts.append(source.reads)
    return counts[2] - counts[1] - (counts[1] - counts[0])


def zero_tables(version: int, tables: int) -> tuple[Image | V1Image, FaultySource]:
    """An image with so many L2 tables of 64 KiB."""
    if version == 1:
        entries = {index * 8192: 0 for index in range(tables)}
        old = FaultySource(V1Recipe(tables * 8192 << 9, cluster_bits=9, l2_bits=13, entries=entries).build())
        return V1Image(old), old
    new = FaultySource(build(Recipe(Layout(tables * 8192 << 16), {index * 8192: Zero() for index in range(tables)})))
    return Image(new), new


@pytest.mark.parametrize("version", [1, 3])
@pytest.mark.parametrize("step", [-1, 0, 1])
def test_l2_tables_in_memory(step: int, version: int) -> None:
    tables = 4 * M // 65536 + step
    image, source = zero_tables(version, tables)
    size = int(image.header.size)
    assert bool(reads_of_the_first(image, source, range(0, size, size // tables))) is (step > 0)


@pytest.mark.parametrize("step", [-1, 0, 1])
def test_inflated_clusters_in_memory(step: int) -> None:
    clusters = 4 * M // 65536 + step
    packed = {index: Compressed(b"text %d" % index) for index in range(clusters)}
    source = FaultySource(build(Recipe(Layout(clusters << 16), packed)))
    image = Image(source)
    assert bool(reads_of_the_first(image, source, range(0, clusters << 16, 65536))) is (step > 0)


def test_every_row_of_security_md_names_its_test() -> None:
    text = (ROOT / "SECURITY.md").read_text().partition("## Limits")[2].partition("## How")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \| `(test_\w+)` \|$", text, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\| ", text, re.MULTILINE)) - 1
    assert all(callable(globals().get(test)) for _, _, test in rows)
    listed = {limit.row: limit for limit in LIMITS}
    assert {row for row, _, test in rows if test == "test_below_at_and_above"} == listed.keys()
    units = {"refcount table": 512, "data of a bitmap": 65536}
    for row, most, _ in rows:
        if row in listed and row != "header length, extensions":
            assert f"{listed[row].most * units.get(row, 1):,}" in most, row
    assert any("LUKS iterations" in row and f"{MAX_ITERATIONS:,}" in most for row, most, _ in rows)
