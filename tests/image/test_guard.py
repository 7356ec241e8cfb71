"""Headers that QEMU refuses: one recipe for each obstacle, with QEMU's own words for it."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Data, Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import Damaged, NotQcow2, Qcow2InspectError, Unsupported
from qcow2inspect.format.header import Header
from qcow2inspect.image import guard
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from tests.images import image_of, model, read_all

V3 = Layout(1 << 20)
SMALL = Layout(1 << 20, cluster_bits=9)
HUGE = 1 << 62


@dataclasses.dataclass(frozen=True)
class Refused:
    """A header that QEMU refuses: what is wrong with it, and what QEMU says."""

    code: str
    damage: dict[str, int | bytes]
    qemu: str
    blocks: bool = True
    layout: Layout = V3

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.layout, {0: Data(b"guest"), 3: Data(b"data")}, damage=self.damage)


REFUSED = {
    "length short": Refused("QCOW-HDR-LENGTH-SHORT", {"hdr.header_length": 103}, "header too short"),
    "length long": Refused("QCOW-HDR-LENGTH-CLUSTER", {"hdr.header_length": 65537}, "header exceeds cluster size"),
    "backing offset": Refused("QCOW-BACK-OFFSET", {"hdr.backing_file_offset": 65537}, "Invalid backing file offset"),
    "backing name long": Refused(
        "QCOW-BACK-LONG", {"hdr.backing_file_offset": 0x400, "hdr.backing_file_size": 1024}, "name too long"
    ),
    "backing name over the edge": Refused(
        "QCOW-BACK-LONG", {"hdr.backing_file_offset": 65530, "hdr.backing_file_size": 7}, "name too long"
    ),
    "compression type": Refused(
        "QCOW-HDR-COMPTYPE",
        {"hdr.compression_type": 2, "hdr.incompatible_features.compression_type": 1},
        "unknown compression type",
    ),
    "compression bit missing": Refused("QCOW-HDR-COMPBIT", {"hdr.compression_type": 1}, "feature bit must be set"),
    "compression bit alone": Refused(
        "QCOW-HDR-COMPBIT", {"hdr.incompatible_features.compression_type": 1}, "feature bit must not be set"
    ),
    "unknown feature": Refused(
        "QCOW-HDR-INCOMPAT-UNKNOWN", {"hdr.incompatible_features.unknown": 1 << 5}, "Unsupported .*feature"
    ),
    "subclusters too small": Refused(
        "QCOW-HDR-SUBCLUSTER", {"hdr.incompatible_features.extended_l2": 1}, "Unsupported subcluster size", layout=SMALL
    ),
    "refcount order": Refused("QCOW-HDR-REFORDER", {"hdr.refcount_order": 7}, "width too large", blocks=False),
    "no refcount table": Refused(
        "QCOW-HDR-RT-NONE", {"hdr.refcount_table_clusters": 0}, "does not contain a reference count table", blocks=False
    ),
    "refcount table large": Refused(
        "QCOW-HDR-RT-LARGE", {"hdr.refcount_table_clusters": 129}, "Reference count table too large", blocks=False
    ),
    "refcount table unaligned": Refused(
        "QCOW-HDR-RT-OFFSET", {"hdr.refcount_table_offset": 0x10200}, "count table offset invalid", blocks=False
    ),
    "refcount table far away": Refused(
        "QCOW-HDR-RT-OFFSET", {"hdr.refcount_table_offset": HUGE * 2}, "count table offset invalid", blocks=False
    ),
    "too many snapshots": Refused(
        "QCOW-HDR-SNAP-COUNT", {"hdr.nb_snapshots": 65537}, "Snapshot table too large", blocks=False
    ),
    "snapshot table unaligned": Refused(
        "QCOW-HDR-SNAP-OFFSET", {"hdr.snapshots_offset": 0x200}, "Snapshot table offset invalid", blocks=False
    ),
    "L1 table large": Refused("QCOW-HDR-L1-LARGE", {"hdr.l1_size": 4_194_305}, "Active L1 table too large"),
    "L1 table unaligned": Refused(
        "QCOW-HDR-L1-OFFSET", {"hdr.l1_table_offset": 0x30008}, "Active L1 table offset invalid"
    ),
    "L1 table far away": Refused(
        "QCOW-HDR-L1-OFFSET", {"hdr.l1_table_offset": (1 << 64) - 65536}, "Active L1 table offset invalid"
    ),
    "L1 table small": Refused("QCOW-HDR-L1-SMALL", {"hdr.size": (512 << 20) + 512}, "L1 table is too small"),
    "L1 table empty": Refused("QCOW-HDR-L1-SMALL", {"hdr.l1_size": 0}, "L1 table is too small"),
    "size": Refused("QCOW-HDR-SIZE-HUGE", {"hdr.size": 1 << 63}, "too big|too small|too large"),
    "encryption": Refused("QCOW-HDR-CRYPT", {"hdr.crypt_method": 3}, "Unsupported encryption method"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_obstacles(name: str) -> None:
    case = REFUSED[name]
    image = image_of(case.recipe)
    first = image.obstacles[0]
    assert first.code == case.code
    assert first.blocks_reading == case.blocks
    assert getattr(image.header, first.field) == first.value or first.code == "QCOW-HDR-INCOMPAT-UNKNOWN"
    with pytest.raises(Damaged, match=f"header field {first.field} .*{re.escape(first.what)}"):
        image.active_disk()


@pytest.mark.parametrize("name", REFUSED)
def test_lenient_reads_what_does_not_depend_on_the_obstacle(name: str) -> None:
    case = REFUSED[name]
    image = image_of(case.recipe)
    if case.blocks:
        with pytest.raises(Damaged):
            image.active_disk(lenient=True)
    else:
        assert read_all(image.active_disk(lenient=True)) == model(case.recipe)


def test_every_obstacle_has_a_recipe() -> None:
    declared = set(re.findall(r'"(QCOW-[A-Z0-9-]+)"', inspect.getsource(guard)))
    assert {case.code for case in REFUSED.values()} == declared


def test_sound_headers_have_no_obstacle() -> None:
    for layout in (V3, SMALL, Layout(512, version=2), Layout(1 << 20, extended_l2=True), Layout(0)):
        assert image_of(Recipe(layout)).obstacles == ()


@given(st.binary(min_size=112, max_size=112), st.integers(9, 21))
def test_any_header_gives_obstacles_or_opens(data: bytes, bits: int) -> None:
    header = dataclasses.replace(Header.parse(data), cluster_bits=bits)
    for obstacle in guard.obstacles(header):
        assert obstacle.what.isprintable()
        assert obstacle.value >= 0
        assert obstacle.field in {row.name for row in Header.ROWS}


@given(st.dictionaries(st.sampled_from([row.name for row in Header.ROWS[4:-1]]), st.integers(0, 1 << 64), max_size=4))
def test_odd_headers_give_nothing_but_our_errors(fields: dict[str, int]) -> None:
    damage = {f"hdr.{name}": value % (1 << 8 * Header.row(name).size) for name, value in fields.items()}
    with contextlib.suppress(Qcow2InspectError):
        image = image_of(Recipe(SMALL, {0: Data(b"x")}, damage=damage))
        assert len(image.snapshots) <= image.header.nb_snapshots
        assert len(image.backing_name) <= 512
        assert image.luks is None
        assert image.bitmaps == ()
        disk = image.active_disk()
        assert len(disk.read_at(0, 4096)) == min(disk.size, 4096)


# -- what cannot be opened at all -------------------------------------------------------------------------------

SOUND = build(Recipe(V3))
START = bytes.fromhex("514649fb")

OPENED: dict[str, tuple[bytes, type[Qcow2InspectError], str]] = {
    "empty": (b"", NotQcow2, "is empty"),
    "three bytes": (START[:3], NotQcow2, "cut off inside the header: it has 3 bytes"),
    "seven bytes": (START + bytes(3), NotQcow2, "it has 7 bytes"),
    "zeros": (bytes(4096), NotQcow2, "at offset 0 stands 00 00 00 00, not 51 46 49 fb"),
    "text": (b"#!/bin/sh", NotQcow2, "not a qcow2 image"),
    "version 0": (START + bytes(200), Unsupported, "is 0; the specification has 1, 2 and 3"),
    "version 1": (START + b"\0\0\0\1" + bytes(200), Unsupported, "qcow image of version 1"),
    "version 4": (START + b"\0\0\0\4" + bytes(200), Unsupported, "is 4;"),
    "version 2 cut": (START + b"\0\0\0\2" + bytes(63), NotQcow2, "it has 71 bytes, this header 72"),
    "version 3 cut": (SOUND[:103], NotQcow2, "it has 103 bytes, this header 104"),
    "new field cut": (SOUND[:111], NotQcow2, "it has 111 bytes, this header 112"),
    "cluster bits 8": (SOUND[:20] + b"\0\0\0\x08" + SOUND[24:], Damaged, "cluster_bits .offset 0x14. is 8, possible"),
    "cluster bits 22": (SOUND[:20] + b"\0\0\0\x16" + SOUND[24:], Damaged, "is 22, possible are 9 to 21"),
    "cluster bits huge": (SOUND[:20] + b"\xff" * 4 + SOUND[24:], Damaged, "is 4,294,967,295, possible"),
}


@pytest.mark.parametrize("name", OPENED)
def test_what_cannot_be_opened(name: str) -> None:
    data, kind, message = OPENED[name]
    with pytest.raises(kind, match=message) as caught:
        Image(MemorySource(data))
    assert caught.value.exit_code == 65


@given(st.binary(max_size=600), st.sampled_from([b"", START, START + b"\0\0\0\2", START + b"\0\0\0\3"]))
def test_any_bytes_open_or_give_an_error_of_ours(tail: bytes, start: bytes) -> None:
    with contextlib.suppress(Qcow2InspectError):
        assert Image(MemorySource(start + tail)).header.version in (2, 3)
