"""Every limit of SECURITY.md: what lies one below it and at it passes, one above it does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import DirtyBitmap, Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.cipher.derivation import MAX_ITERATIONS
from qcow2inspect.cipher.luks import slot_trouble
from qcow2inspect.errors import Damaged
from qcow2inspect.format.luks import LuksKeySlot, SlotState
from qcow2inspect.image.chain import open_chain
from qcow2inspect.image.gate import Follow, OpenGate, read_name
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from tests.images import ROOT, image_of

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


def test_the_table_of_security_md_names_these_limits() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|", text, re.MULTILINE))
    assert f"{MAX_ITERATIONS:,}" in rows["LUKS iterations"]
    for limit in LIMITS[1:]:
        most = limit.most * 512 if limit.row == "refcount table" else limit.most
        assert f"{most:,}" in rows[limit.row], limit.row
