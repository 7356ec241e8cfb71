"""Headers that QEMU refuses: one recipe for each obstacle, with QEMU's own words for it."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Data, DirtyBitmap, Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import Damaged, NeedsKey, NotQcow2, Qcow2InspectError, Unsupported
from qcow2inspect.format.header import CryptMethod, Header
from qcow2inspect.image import guard, guard_bitmaps, guard_luks
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from tests.images import image_of, luks_area, model, read_all

V3 = Layout(1 << 20)
SMALL = Layout(1 << 20, cluster_bits=9)
HUGE = 1 << 62
LONG = b"n" * 65_535
LOCKED = Layout(1 << 20, crypt_method=CryptMethod.LUKS, luks_header=luks_area())
BITMAPS = (DirtyBitmap(b"one", (0, 3, 15)), DirtyBitmap(b"two", (1,), granularity_bits=12))
OUTSIDE = "Request for data outside of extension header"
CONSTRAINTS = "doesn't satisfy the constraints"
TABLE = "Could not read bitmap_table table"


def locked(**fields: object) -> Layout:
    """An encrypted image whose LUKS header has odd fields."""
    return dataclasses.replace(LOCKED, luks_header=luks_area(**fields))  # type: ignore[arg-type]  # names are checked


def pointer(name: str, value: int) -> dict[str, int | bytes]:
    """Damage of the extension that points to the LUKS header or to the bitmap directory."""
    return {f"ext[0].data.{name}": value}


@dataclasses.dataclass(frozen=True)
class Refused:
    """A header that QEMU refuses: what is wrong with it, and what QEMU says."""

    code: str
    damage: dict[str, int | bytes]
    qemu: str
    blocks: bool = True
    layout: Layout = V3
    snapshots: tuple[Snapshot, ...] = ()
    bitmaps: tuple[DirtyBitmap, ...] = ()

    @property
    def recipe(self) -> Recipe:
        clusters = {0: Data(b"guest"), 3: Data(b"data")}
        return Recipe(self.layout, clusters, self.snapshots, self.bitmaps, damage=self.damage)

    @property
    def base(self) -> tuple[object, ...]:
        """What the damage is done to."""
        return self.layout, self.snapshots, self.bitmaps


def in_luks(code: str, qemu: str, damage: dict[str, int | bytes] | None = None, layout: Layout = LOCKED) -> Refused:
    """An encrypted image that is refused."""
    return Refused(code, damage or {}, qemu, blocks=False, layout=layout)


def in_bitmaps(code: str, qemu: str, damage: dict[str, int | bytes]) -> Refused:
    """An image with bitmaps that is refused."""
    return Refused(code, damage, qemu, blocks=False, bitmaps=BITMAPS)


def text(word: bytes) -> bytes:
    """A string field of a LUKS header."""
    return word.ljust(32, b"\0")


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
    "extension overrun": Refused("QCOW-EXT-OVERRUN", {"ext[0].length": 70000}, "extension too large", blocks=False),
    "end marker overrun": Refused(
        "QCOW-EXT-OVERRUN", {"ext.end": b"\0\0\0\0\0\1\0\0"}, "extension too large", blocks=False
    ),
    "backing format long": Refused(
        "QCOW-BACK-FMT-LONG",
        {},
        "ext_backing_format: len=16 too large",
        blocks=False,
        layout=Layout(1 << 20, extra_extensions=((0xE2792ACA, b"r" * 16),)),
    ),
    "raw without data file": Refused(
        "QCOW-DF-RAW-NOBIT",
        {"hdr.autoclear_features.raw_data_file": 1},
        "data-file-raw requires a data file",
        blocks=False,
    ),
    "LUKS without extension": Refused(
        "QCOW-CRY-NOEXT", {"hdr.crypt_method": 2}, "Missing CRYPTO header for crypt method 2", blocks=False
    ),
    "extension without LUKS": in_luks("QCOW-CRY-EXT-UNEXPECTED", "only expected with LUKS", {"hdr.crypt_method": 0}),
    "extension with AES": in_luks("QCOW-CRY-EXT-UNEXPECTED", "only expected with LUKS", {"hdr.crypt_method": 1}),
    "LUKS pointer long": in_luks("QCOW-CRY-EXT-BAD", "size 24, but expected size 16", {"ext[0].length": 24}),
    "LUKS pointer short": in_luks("QCOW-CRY-EXT-BAD", "size 15, but expected size 16", {"ext[0].length": 15}),
    "LUKS unaligned": in_luks("QCOW-CRY-EXT-BAD", "is not a multiple of cluster size", pointer("offset", 0x200)),
    "LUKS past the end": in_luks("QCOW-CRY-EXT-BAD", "not in LUKS format", pointer("offset", 1 << 40)),
    "LUKS short": in_luks("QCOW-CRY-EXT-BAD", OUTSIDE, pointer("length", 591)),
    "LUKS elsewhere": in_luks("QCOW-CRY-LUKS-BAD", "not in LUKS format", pointer("offset", 0x10000)),
    "LUKS version": in_luks("QCOW-CRY-LUKS-BAD", "version 2 is not supported", {"luks.version": 2}),
    "LUKS cipher endless": in_luks("QCOW-CRY-LUKS-BAD", "not NUL terminated", layout=locked(cipher_name=b"a" * 32)),
    "LUKS mode endless": in_luks("QCOW-CRY-LUKS-BAD", "not NUL terminated", layout=locked(cipher_mode=b"a" * 32)),
    "LUKS hash endless": in_luks("QCOW-CRY-LUKS-BAD", "not NUL terminated", layout=locked(hash_spec=b"a" * 32)),
    "LUKS payload": in_luks("QCOW-CRY-LUKS-BAD", "payload is overlapping", {"luks.payload_offset": 7}),
    "LUKS iterations": in_luks("QCOW-CRY-LUKS-BAD", "count is zero", {"luks.mk_digest_iterations": 0}),
    "LUKS cipher": in_luks("QCOW-CRY-LUKS-BAD", "not supported", layout=locked(cipher_name=text(b"rot13"))),
    "LUKS key size": in_luks("QCOW-CRY-LUKS-BAD", "key size 4 bytes not supp", {"luks.key_bytes": 8}),
    "LUKS mode": in_luks("QCOW-CRY-LUKS-BAD", "mode 'rot' not supp", layout=locked(cipher_mode=text(b"rot-plain"))),
    "LUKS mode half": in_luks("QCOW-CRY-LUKS-BAD", "mode string format", layout=locked(cipher_mode=text(b"xts"))),
    "LUKS vector": in_luks("QCOW-CRY-LUKS-BAD", "generator .* not supp", layout=locked(cipher_mode=text(b"xts-x"))),
    "LUKS vector hash": in_luks(
        "QCOW-CRY-LUKS-BAD", "Hash algorithm .* not supp", layout=locked(cipher_mode=text(b"cbc-essiv:x"), key_bytes=32)
    ),
    "LUKS hash": in_luks("QCOW-CRY-LUKS-BAD", "Hash algorithm .* not supp", layout=locked(hash_spec=text(b"crc32"))),
    "LUKS slot stripes": in_luks("QCOW-CRY-LUKS-BAD", "stripes 3999 != 4000", {"luks.slot[3].stripes": 3999}),
    "LUKS slot state": in_luks("QCOW-CRY-LUKS-BAD", "state .* is corrupted", {"luks.slot[3].active": 7}),
    "LUKS slot iterations": in_luks("QCOW-CRY-LUKS-BAD", "count is zero", {"luks.slot[0].iterations": 0}),
    "LUKS slot in the header": in_luks("QCOW-CRY-LUKS-BAD", "overlapping", {"luks.slot[0].key_material_offset": 7}),
    "LUKS slot in the payload": in_luks(
        "QCOW-CRY-LUKS-BAD", "with the enc", {"luks.slot[7].key_material_offset": 3537}
    ),
    "LUKS slots overlap": in_luks("QCOW-CRY-LUKS-BAD", "are overlapping in", {"luks.slot[3].key_material_offset": 513}),
    "snapshot with much extra data": Refused(
        "QCOW-SNAP-EXTRA-HUGE",
        {},
        "Too much extra metadata in snapshot table entry 1",
        blocks=False,
        snapshots=(Snapshot(b"one"), Snapshot(b"two", extra=bytes(1025))),
    ),
    "snapshot table long": Refused(
        "QCOW-SNAP-TABLE-HUGE",
        {},
        "Snapshot table is too big",
        blocks=False,
        layout=dataclasses.replace(V3, generations=200),
        snapshots=(Snapshot(LONG, ident=LONG),) * 512,
    ),
    "no bitmaps": in_bitmaps("QCOW-BMP-EXT-BAD", "with zero bitmaps", pointer("nb_bitmaps", 0)),
    "many bitmaps": in_bitmaps("QCOW-BMP-EXT-BAD", "exceeding the QEMU supp", pointer("nb_bitmaps", 65_536)),
    "bitmaps reserved": in_bitmaps("QCOW-BMP-EXT-BAD", "Reserved field is not zero", pointer("reserved", 1)),
    "bitmaps pointer long, stale": in_bitmaps(
        "QCOW-BMP-EXT-BAD", "Invalid extension length", {"ext[0].length": 32, "hdr.autoclear_features": 0}
    ),
    "bitmaps pointer long": in_bitmaps("QCOW-BMP-EXT-BAD", "Invalid extension length", {"ext[0].length": 32}),
    "bitmaps unaligned": in_bitmaps(
        "QCOW-BMP-EXT-BAD", "invalid bitmap directory offset", pointer("bitmap_directory_offset", 0x200)
    ),
    "bitmap directory large": in_bitmaps(
        "QCOW-BMP-EXT-BAD", "exceeds the maximum", pointer("bitmap_directory_size", 65_535 * 1024 + 8)
    ),
    "bitmap directory empty": in_bitmaps(
        "QCOW-BMP-DIR-BAD", "directory size is zero", pointer("bitmap_directory_size", 0)
    ),
    "bitmap directory short": in_bitmaps(
        "QCOW-BMP-DIR-BAD", "Broken bitmap directory", pointer("bitmap_directory_size", 56)
    ),
    "bitmap directory long": in_bitmaps(
        "QCOW-BMP-DIR-BAD", "Broken bitmap directory", pointer("bitmap_directory_size", 72)
    ),
    "bitmap directory past the end": in_bitmaps(
        "QCOW-BMP-DIR-BAD", CONSTRAINTS, pointer("bitmap_directory_offset", 1 << 40)
    ),
    "fewer bitmaps": in_bitmaps("QCOW-BMP-DIR-BAD", "Less bitmaps found", pointer("nb_bitmaps", 3)),
    "more bitmaps": in_bitmaps("QCOW-BMP-DIR-BAD", "More bitmaps found", pointer("nb_bitmaps", 1)),
    "bitmap extra data": Refused(
        "QCOW-BMP-ENTRY-BAD",
        {},
        "extra data is not supported",
        blocks=False,
        bitmaps=(DirtyBitmap(b"one", extra=b"extra"),),
    ),
    "bitmap extra data that is compatible": Refused(
        "QCOW-BMP-FLAG2",
        {},
        f"extra data is not supported|{CONSTRAINTS}",
        blocks=False,
        bitmaps=(DirtyBitmap(b"one", extra=b"extra", flags=6),),
    ),
    "bitmap compatible": in_bitmaps("QCOW-BMP-FLAG2", CONSTRAINTS, {"bitmap[0].flags": 4}),
    "bitmap table empty": in_bitmaps("QCOW-BMP-ENTRY-BAD", CONSTRAINTS, {"bitmap[0].bitmap_table_size": 0}),
    "bitmap table huge": in_bitmaps("QCOW-BMP-ENTRY-BAD", CONSTRAINTS, {"bitmap[0].bitmap_table_size": 0x800_0001}),
    "bitmap data huge": in_bitmaps("QCOW-BMP-ENTRY-BAD", CONSTRAINTS, {"bitmap[0].bitmap_table_size": 8193}),
    "bitmap table long": in_bitmaps(
        "QCOW-BMP-ENTRY-BAD", "Could not read bitmap 'one'", {"bitmap[0].bitmap_table_size": 2}
    ),
    "bitmap table short": Refused(
        "QCOW-BMP-ENTRY-BAD",
        {"bitmap[0].bitmap_table_size": 1},
        CONSTRAINTS,
        blocks=False,
        layout=Layout(4 << 20, cluster_bits=9),
        bitmaps=(DirtyBitmap(b"one", granularity_bits=9),),
    ),
    "bitmap table nowhere": in_bitmaps("QCOW-BMP-ENTRY-BAD", CONSTRAINTS, {"bitmap[0].bitmap_table_offset": 0}),
    "bitmap table unaligned": in_bitmaps("QCOW-BMP-ENTRY-BAD", CONSTRAINTS, {"bitmap[0].bitmap_table_offset": 0x200}),
    "bitmap too fine": in_bitmaps("QCOW-BMP-ENTRY-BAD", CONSTRAINTS, {"bitmap[0].granularity_bits": 8}),
    "bitmap too coarse": in_bitmaps("QCOW-BMP-ENTRY-BAD", CONSTRAINTS, {"bitmap[0].granularity_bits": 32}),
    "bitmap flags": in_bitmaps("QCOW-BMP-ENTRY-BAD", CONSTRAINTS, {"bitmap[0].flags": 8}),
    "bitmap type": in_bitmaps("QCOW-BMP-ENTRY-BAD", CONSTRAINTS, {"bitmap[0].type": 2}),
    "bitmap name long": Refused(
        "QCOW-BMP-ENTRY-BAD", {}, CONSTRAINTS, blocks=False, bitmaps=(DirtyBitmap(b"n" * 1024),)
    ),
    "bitmap names": in_bitmaps("QCOW-BMP-DUP-NAME", "Bitmap already exists: one", {"bitmap[1].name": b"one"}),
    "bitmap entry reserved": in_bitmaps("QCOW-BMP-TABLE-BAD", TABLE, {"bitmap[0].table[0].reserved_low": 2}),
    "bitmap entry reserved high": in_bitmaps(
        "QCOW-BMP-TABLE-BAD", TABLE, {"bitmap[0].table[0].reserved_high": 1 << 60}
    ),
    "bitmap entry unaligned": in_bitmaps("QCOW-BMP-TABLE-BAD", TABLE, {"bitmap[0].table[0]": 0x10200}),
    "bitmap entry with both": in_bitmaps("QCOW-BMP-TABLE-BAD", TABLE, {"bitmap[0].table[0].all_ones": 1}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_obstacles(name: str) -> None:
    case = REFUSED[name]
    image = image_of(case.recipe)
    first = image.obstacles[0]
    assert first.code == case.code
    assert first.blocks_reading == case.blocks
    assert first.path or first.where or int(getattr(image.header, first.field)) == first.value
    with pytest.raises(Damaged, match=f"{re.escape(first.place)}.*: {re.escape(first.what)}"):
        image.active_disk()


@pytest.mark.parametrize("name", REFUSED)
def test_lenient_reads_what_does_not_depend_on_the_obstacle(name: str) -> None:
    case = REFUSED[name]
    image = image_of(case.recipe)
    if case.blocks:
        with pytest.raises(Damaged):
            image.active_disk(lenient=True)
    elif image.header.crypt_method is not CryptMethod.NONE:
        with pytest.raises(NeedsKey):
            image.active_disk(lenient=True).read_at(0, 1)
    else:
        assert read_all(image.active_disk(lenient=True)) == model(case.recipe)


def test_every_obstacle_has_a_recipe() -> None:
    sources = "".join(inspect.getsource(module) for module in (guard, guard_luks, guard_bitmaps))
    declared = set(re.findall(r'"(QCOW-[A-Z0-9-]+)"', sources))
    assert {case.code for case in REFUSED.values()} == declared


def test_sound_headers_have_no_obstacle() -> None:
    for layout in (V3, SMALL, Layout(512, version=2), Layout(1 << 20, extended_l2=True), Layout(0)):
        assert image_of(Recipe(layout)).obstacles == ()
    assert image_of(Recipe(V3, bitmaps=BITMAPS)).obstacles == ()
    assert image_of(Recipe(LOCKED)).obstacles == ()


ACCEPTED: dict[str, Recipe] = {
    "LUKS without a UUID": Recipe(locked(uuid=b"a" * 40)),
    "LUKS with other ciphers": Recipe(locked(cipher_name=text(b"serpent"), key_bytes=32)),
    "LUKS with another vector": Recipe(locked(cipher_mode=text(b"cbc-essiv:sha256"), key_bytes=32)),
    "LUKS with no key": Recipe(locked(slots={0: {"active": 0xDEAD}})),
    "LUKS slot that ends past 32 bits": Recipe(LOCKED, damage={"luks.slot[7].key_material_offset": (1 << 32) - 1}),
    "LUKS beyond the file": Recipe(LOCKED, damage=pointer("length", 1 << 50)),
    "stale bitmaps": Recipe(V3, bitmaps=BITMAPS, damage={"hdr.autoclear_features": 0, **pointer("nb_bitmaps", 0)}),
    "bitmap in use": Recipe(V3, bitmaps=BITMAPS, damage={"bitmap[0].flags": 3, "bitmap[0].table[0]": 0x10200}),
    "bitmap in use, too small": Recipe(
        V3, bitmaps=BITMAPS, damage={"bitmap[0].flags": 1, "bitmap[0].bitmap_table_size": 3}
    ),
    "bitmap of ones": Recipe(V3, bitmaps=BITMAPS, damage={"bitmap[0].table[0]": 1}),
    "bitmap past the end": Recipe(V3, bitmaps=BITMAPS, damage={"bitmap[0].table[0]": 1 << 40}),
    "bitmap table past the end": Recipe(V3, bitmaps=BITMAPS, damage={"bitmap[0].bitmap_table_offset": 1 << 40}),
    "bitmap long name": Recipe(V3, bitmaps=(DirtyBitmap(b"n" * 1023),)),
    "bitmap in version 2": Recipe(Layout(1 << 20, version=2), bitmaps=BITMAPS),
    "snapshot without extra data": Recipe(V3, snapshots=(Snapshot(b"one", extra=b""),)),
    "snapshot with extra data": Recipe(V3, snapshots=(Snapshot(b"one", extra=bytes(1024)),)),
    "snapshot table past the end": Recipe(V3, damage={"hdr.snapshots_offset": 1 << 40, "hdr.nb_snapshots": 9}),
    "snapshots that are not there": Recipe(V3, snapshots=(Snapshot(b"one"),), damage={"hdr.nb_snapshots": 60_000}),
    "backing format": Recipe(Layout(1 << 20, extra_extensions=((0xE2792ACA, b"r" * 15),))),
    "extensions without an end": Recipe(
        Layout(1 << 20, extra_extensions=((7, bytes(65_536 - 112 - 8 - 8)),)), damage={"ext.end": b"\0\0\0\7"}
    ),
    "cut in the first cluster": Recipe(V3, end=300),
    "cut behind the fields of version 3": Recipe(V3, end=104),
    "cut in the compression type's padding": Recipe(V3, end=109),
}
"""What is odd and yet no obstacle."""


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_qemu_accepts_is_no_obstacle(name: str) -> None:
    assert image_of(ACCEPTED[name]).obstacles == ()


@given(st.binary(min_size=112, max_size=112), st.integers(9, 21))
def test_any_header_gives_obstacles_or_opens(data: bytes, bits: int) -> None:
    header = dataclasses.replace(Header.parse(data), cluster_bits=bits)
    for obstacle in guard.header_obstacles(header):
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


@pytest.mark.parametrize("length", [104, 112])
def test_a_compression_bit_is_blamed_on_a_field_that_exists(length: int) -> None:
    damage = {"hdr.header_length": length, "hdr.incompatible_features.compression_type": 1}
    found = {obstacle.code: obstacle for obstacle in image_of(Recipe(V3, damage=damage)).obstacles}
    obstacle = found["QCOW-HDR-COMPBIT"]
    expected = ("compression_type", 0) if length == 112 else ("incompatible_features", 8)
    assert (obstacle.field, obstacle.value) == expected


def test_bitmaps_of_a_disk_without_bytes() -> None:
    """QEMU: Could not read bitmap 'one' from image: Invalid argument."""
    recipe = Recipe(V3, bitmaps=BITMAPS, damage={"hdr.size": 0})
    assert {obstacle.path for obstacle in image_of(recipe).obstacles} == {
        "bitmap[0].bitmap_table_size",
        "bitmap[1].bitmap_table_size",
    }
