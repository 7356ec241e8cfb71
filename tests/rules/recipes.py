"""For every rule an image that triggers it; the sound image that must trigger nothing bad is :func:`sound`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from qcow2inspect.build.recipe import Compressed, Data, Recipe, Snapshot, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from tests.images import noise

MIB = 1 << 20
SOUND = Recipe(
    Layout(size=MIB, cluster_bits=12),
    {0: Data(b"a"), 1: Compressed(b"b"), 2: Zero(), 3: Zero(b"kept"), 4: Data(b"c")},
)
EXTENDED = Recipe(Layout(size=MIB, extended_l2=True), {0: Subclusters(0x0F, b"a"), 1: Compressed(b"b")})
V2 = Recipe(Layout(size=MIB, cluster_bits=12, version=2), {0: Data(b"a"), 1: Data(b"b")})
SNAPSHOTS = replace(SOUND, snapshots=(Snapshot(b"one", {0: Data(b"new")}),))
OVERLAY = replace(SOUND, layout=replace(SOUND.layout, backing_name=b"base.raw", backing_format=b"raw"))
DATA_FILE = Recipe(Layout(size=MIB, data_file=b"data.raw"), {0: Data(b"a")})
FAR = 1 << 40
WIDE = replace(SOUND, layout=replace(SOUND.layout, size=8 * MIB), clusters={0: Data(b"a"), 600: Data(b"b")})
NARROW = Recipe(Layout(size=MIB, cluster_bits=12, refcount_order=0), {0: Data(b"a")})
PLAIN = replace(SOUND, clusters={index: Data(b"a") for index in range(8)})
EMPTIED = {"L1[0].L2[0]": 0, "ref[4]": 0}


def broken(recipe: Recipe = SOUND, end: int | None = None, **damage: int) -> bytes:
    """An image with damage; in the names of fields ``__`` stands for a dot."""
    return build(replace(recipe, damage={name.replace("__", "."): value for name, value in damage.items()}, end=end))


def damaged(address: str, value: int | bytes, recipe: Recipe = SOUND) -> bytes:
    """An image with damage at one address."""
    return build(replace(recipe, damage={address: value}))


def overwritten(data: bytes) -> bytes:
    """An image whose only L2 table was overwritten."""
    image = bytearray(build(SOUND))
    image[0x5000:0x6000] = data
    return bytes(image)


def alias_bomb() -> bytes:
    """An image with all its L1 entries on one full L2 table."""
    recipe = Recipe(Layout(size=2 << 30, cluster_bits=12), {index: Data(b"a") for index in range(512)})
    image = bytearray(build(recipe))
    at = int(Image(MemorySource(bytes(image))).l1.at)
    image[at : at + 1024 * 8] = image[at : at + 8] * 1024
    return bytes(image)


def extended_bit0() -> bytes:
    """An extended L2 entry with bit 0."""
    image = Image(MemorySource(build(EXTENDED)))
    data = bytearray(build(EXTENDED))
    data[image.l1[0].l2_table_offset + 7] |= 1
    return bytes(data)


def compressed_with_bitmap() -> bytes:
    """An extended L2 entry with compressed flag and bitmap."""
    image = Image(MemorySource(build(EXTENDED)))
    at = image.l1[0].l2_table_offset + 16
    data = bytearray(build(EXTENDED))
    data[at + 15] = 1
    return bytes(data)


def cut(recipe: Recipe, size: int) -> bytes:
    """An image whose file ends early."""
    return build(replace(recipe, end=size))


def sound() -> list[bytes]:
    """Images with which nothing is wrong."""
    return [build(recipe) for recipe in (SOUND, EXTENDED, V2, SNAPSHOTS, OVERLAY, DATA_FILE)]


BAD: dict[str, Callable[[], bytes]] = {
    "QCOW-BACK-EMPTY": lambda: broken(OVERLAY, hdr__backing_file_size=0),
    "QCOW-BACK-LONG": lambda: broken(OVERLAY, hdr__backing_file_size=1024),
    "QCOW-BACK-OFFSET": lambda: broken(hdr__backing_file_offset=4097, hdr__backing_file_size=9),
    "QCOW-BACK-PRESENT": lambda: build(OVERLAY),
    "QCOW-CMP-COPIED": lambda: damaged("L1[0].L2[1].copied", 1),
    "QCOW-CMP-EOF": lambda: damaged("L1[0].L2[1]", 1 << 62 | FAR),
    "QCOW-CMP-PRESENT": lambda: build(SOUND),
    "QCOW-CRY-AES": lambda: build(replace(SOUND, layout=replace(SOUND.layout, crypt_method=CryptMethod.AES))),
    "QCOW-CRY-LUKS": lambda: broken(hdr__crypt_method=2),
    "QCOW-CRY-NOEXT": lambda: broken(hdr__crypt_method=2),
    "QCOW-DF-COMPRESSED": lambda: damaged("L1[0].L2[3]", 1 << 62 | 0x50000, DATA_FILE),
    "QCOW-DF-PRESENT": lambda: build(DATA_FILE),
    "QCOW-EXT-OVERRUN": lambda: damaged("ext[0].length", 5000),
    "QCOW-EXTL2-OVERLAP": lambda: build(
        replace(EXTENDED, clusters={0: Subclusters(0x0000_0001_0000_0001, b"a")}),
    ),
    "QCOW-EXTL2-ALLOC-NOHOST": lambda: damaged("L1[0].L2[5]", bytes(15) + b"\1", EXTENDED),
    "QCOW-EXTL2-CMP-BITMAP": compressed_with_bitmap,
    "QCOW-HDR-COMPBIT": lambda: broken(hdr__compression_type=1),
    "QCOW-HDR-COMPTYPE": lambda: broken(hdr__compression_type=7),
    "QCOW-HDR-CORRUPT": lambda: broken(hdr__incompatible_features__corrupt=1),
    "QCOW-HDR-CRYPT": lambda: broken(hdr__crypt_method=3),
    "QCOW-HDR-DIRTY": lambda: broken(hdr__incompatible_features__dirty=1),
    "QCOW-HDR-INCOMPAT-UNKNOWN": lambda: broken(hdr__incompatible_features=1 << 40),
    "QCOW-HDR-L1-EOF": lambda: broken(hdr__l1_table_offset=FAR),
    "QCOW-HDR-L1-LARGE": lambda: broken(hdr__l1_size=4_194_305),
    "QCOW-HDR-L1-OFFSET": lambda: broken(hdr__l1_table_offset=0x3001),
    "QCOW-HDR-L1-SMALL": lambda: broken(hdr__size=1 << 30),
    "QCOW-HDR-LENGTH-ALIGN": lambda: broken(hdr__header_length=109),
    "QCOW-HDR-LENGTH-CLUSTER": lambda: broken(hdr__header_length=4104),
    "QCOW-HDR-LENGTH-SHORT": lambda: broken(hdr__header_length=96),
    "QCOW-HDR-REFORDER": lambda: broken(hdr__refcount_order=7),
    "QCOW-HDR-RT-EOF": lambda: broken(hdr__refcount_table_offset=FAR),
    "QCOW-HDR-RT-LARGE": lambda: broken(hdr__refcount_table_clusters=2049),
    "QCOW-HDR-RT-NONE": lambda: broken(hdr__refcount_table_clusters=0),
    "QCOW-HDR-RT-OFFSET": lambda: broken(hdr__refcount_table_offset=1 << 63),
    "QCOW-HDR-SIZE-HUGE": lambda: broken(hdr__size=1 << 63),
    "QCOW-HDR-SIZE-UNALIGNED": lambda: broken(hdr__size=MIB - 1),
    "QCOW-HDR-SIZE-HIDES": lambda: broken(WIDE, hdr__size=MIB),
    "QCOW-HDR-SNAP-COUNT": lambda: broken(hdr__nb_snapshots=65_537),
    "QCOW-HDR-SNAP-OFFSET": lambda: broken(hdr__snapshots_offset=0x123),
    "QCOW-HDR-SUBCLUSTER": lambda: broken(hdr__incompatible_features__extended_l2=1),
    "QCOW-IMG-ALIAS-BOMB": alias_bomb,
    "QCOW-IMG-CHECKPARITY": lambda: damaged("L1[0]", 1 << 63),
    "QCOW-IMG-TRAILING": lambda: build(SOUND) + b"appended",
    "QCOW-IMG-TRUNCATED": lambda: cut(PLAIN, 0x7000),
    "QCOW-L1-COPIED": lambda: damaged("L1[0].copied", 0),
    "QCOW-L1-DUP": lambda: damaged("L1[1]", 1 << 63 | 0x5000, replace(WIDE, clusters={0: Data(b"a")})),
    "QCOW-L1-EOF": lambda: damaged("L1[0]", FAR),
    "QCOW-L1-INTO-META": lambda: damaged("L1[0].l2_table_offset", 0x1000),
    "QCOW-L1-RESERVED": lambda: damaged("L1[0].reserved_low", 4),
    "QCOW-L1-UNALIGNED": lambda: damaged("L1[0].l2_table_offset", 0x3200),
    "QCOW-L1-ZERO-FLAGS": lambda: damaged("L1[0]", 1 << 63),
    "QCOW-L2-BEYOND": lambda: broken(hdr__size=4 * 4096),
    "QCOW-L2-COPIED": lambda: damaged("L1[0].L2[0].copied", 0),
    "QCOW-L2-COPIED-NOOFFSET": lambda: damaged("L1[0].L2[9]", 1 << 63),
    "QCOW-L2-EMPTY": lambda: build(replace(SOUND, clusters={0: Data(b"a")}, damage=EMPTIED, end=0x6000)),
    "QCOW-L2-EOF": lambda: damaged("L1[0].L2[0].host_cluster_offset", FAR),
    "QCOW-L2-EXT-BIT0": extended_bit0,
    "QCOW-L2-INTO-META": lambda: damaged("L1[0].L2[0].host_cluster_offset", 0x2000),
    "QCOW-L2-LOOKS-DATA": lambda: overwritten(noise(1, 4096)),
    "QCOW-L2-LOOKS-REFBLOCK": lambda: overwritten(b"\0\1" * 2048),
    "QCOW-L2-PREALLOC-UNALIGNED": lambda: damaged("L1[0].L2[3].host_cluster_offset", 0x5200),
    "QCOW-L2-RESERVED": lambda: damaged("L1[0].L2[0].reserved_high", 1 << 58),
    "QCOW-L2-SELF": lambda: damaged("L1[0].L2[0].host_cluster_offset", 0x5000),
    "QCOW-L2-SHARED": lambda: damaged("L1[0].L2[9]", 1 << 63 | 0x4000),
    "QCOW-L2-UNALIGNED": lambda: damaged("L1[0].L2[0].host_cluster_offset", 0x5200),
    "QCOW-L2-WIPED": lambda: overwritten(bytes(4096)),
    "QCOW-L2-ZERO-V2": lambda: damaged("L1[0].L2[0].reads_as_zero", 1, V2),
    "QCOW-MAP-OVERLAP": lambda: broken(SNAPSHOTS, hdr__snapshots_offset=0x3000),
    "QCOW-RB-INTO-META": lambda: damaged("rt[0]", 0x3000),
    "QCOW-RB-SELF-UNCOUNTED": lambda: damaged("ref[2]", 0),
    "QCOW-REF-BLOCKMISSING": lambda: damaged("rt[0]", 0),
    "QCOW-REF-EOF": lambda: damaged("ref[100]", 1),
    "QCOW-REF-LEAK": lambda: damaged("ref[3]", 2),
    "QCOW-REF-LOW": lambda: damaged("ref[6]", 1, SNAPSHOTS),
    "QCOW-REF-ORPHAN": lambda: damaged("L1[0].L2[0]", 0),
    "QCOW-REF-OVERFLOW": lambda: damaged("L1[0].L2[9]", 1 << 63 | 0x4000, NARROW),
    "QCOW-REF-ZERO": lambda: damaged("ref[0]", 0),
    "QCOW-RT-DUP": lambda: damaged("rt[1]", 0x2000),
    "QCOW-RT-EOF": lambda: damaged("rt[0]", FAR),
    "QCOW-RT-RESERVED": lambda: damaged("rt[0].reserved_low", 8),
    "QCOW-RT-UNALIGNED": lambda: damaged("rt[0]", 0x2200),
    "QCOW-SNAP-PRESENT": lambda: build(SNAPSHOTS),
    "QCOW-SNAP-TABLE-OVERRUN": lambda: broken(SNAPSHOTS, hdr__nb_snapshots=60_000),
}
"""Code -> what makes an image that triggers it."""

COMPANIONS: dict[str, set[str]] = {
    "QCOW-BACK-EMPTY": {"QCOW-BACK-PRESENT"},
    "QCOW-BACK-LONG": {"QCOW-BACK-PRESENT"},
    "QCOW-BACK-OFFSET": {"QCOW-BACK-PRESENT"},
    "QCOW-CRY-LUKS": {"QCOW-CRY-NOEXT"},
    "QCOW-CRY-NOEXT": {"QCOW-CRY-LUKS"},
    "QCOW-DF-COMPRESSED": {"QCOW-DF-PRESENT"},
    "QCOW-HDR-L1-LARGE": {"QCOW-HDR-L1-EOF"},
    "QCOW-HDR-RT-LARGE": {"QCOW-HDR-RT-EOF"},
    "QCOW-HDR-RT-OFFSET": {"QCOW-HDR-RT-EOF"},
    "QCOW-HDR-LENGTH-ALIGN": {"QCOW-EXT-OVERRUN"},
    "QCOW-HDR-SNAP-COUNT": {"QCOW-SNAP-PRESENT", "QCOW-SNAP-TABLE-OVERRUN"},
    "QCOW-SNAP-TABLE-OVERRUN": {"QCOW-SNAP-PRESENT"},
}
"""Code -> codes that the same damage cannot help to trigger too."""


CONSEQUENCES: dict[str, set[str]] = {
    "QCOW-CMP-EOF": {"QCOW-REF-ORPHAN"},
    "QCOW-EXTL2-CMP-BITMAP": {"QCOW-REF-ORPHAN"},
    "QCOW-HDR-L1-EOF": {"QCOW-REF-ORPHAN"},
    "QCOW-HDR-L1-LARGE": {"QCOW-REF-ORPHAN"},
    "QCOW-HDR-L1-OFFSET": {"QCOW-REF-ORPHAN"},
    "QCOW-HDR-REFORDER": {"QCOW-REF-LEAK", "QCOW-REF-ZERO"},
    "QCOW-HDR-RT-EOF": {"QCOW-REF-BLOCKMISSING"},
    "QCOW-HDR-RT-LARGE": {"QCOW-REF-BLOCKMISSING"},
    "QCOW-HDR-RT-NONE": {"QCOW-REF-BLOCKMISSING"},
    "QCOW-HDR-RT-OFFSET": {"QCOW-REF-BLOCKMISSING"},
    "QCOW-IMG-ALIAS-BOMB": {"QCOW-L1-DUP", "QCOW-REF-LOW"},
    "QCOW-IMG-CHECKPARITY": {"QCOW-L1-ZERO-FLAGS", "QCOW-REF-ORPHAN"},
    "QCOW-IMG-TRUNCATED": {"QCOW-L2-EOF"},
    "QCOW-L1-DUP": {"QCOW-REF-LOW"},
    "QCOW-L1-EOF": {"QCOW-REF-ORPHAN"},
    "QCOW-L1-INTO-META": {"QCOW-L2-INTO-META", "QCOW-REF-LOW", "QCOW-REF-ORPHAN"},
    "QCOW-L1-UNALIGNED": {"QCOW-REF-ORPHAN"},
    "QCOW-L1-ZERO-FLAGS": {"QCOW-REF-ORPHAN"},
    "QCOW-L2-EOF": {"QCOW-REF-ORPHAN"},
    "QCOW-L2-INTO-META": {"QCOW-REF-LOW", "QCOW-REF-ORPHAN"},
    "QCOW-L2-LOOKS-DATA": {"QCOW-REF-ORPHAN"},
    "QCOW-L2-LOOKS-REFBLOCK": {"QCOW-REF-ORPHAN"},
    "QCOW-L2-PREALLOC-UNALIGNED": {"QCOW-REF-ORPHAN"},
    "QCOW-L2-SELF": {"QCOW-REF-LOW", "QCOW-REF-ORPHAN"},
    "QCOW-L2-SHARED": {"QCOW-REF-LOW"},
    "QCOW-L2-UNALIGNED": {"QCOW-REF-ORPHAN"},
    "QCOW-L2-WIPED": {"QCOW-REF-ORPHAN"},
    "QCOW-MAP-OVERLAP": {"QCOW-REF-LEAK", "QCOW-REF-LOW", "QCOW-REF-ORPHAN"},
    "QCOW-RB-INTO-META": {"QCOW-REF-LEAK", "QCOW-REF-ZERO"},
    "QCOW-RB-SELF-UNCOUNTED": {"QCOW-REF-ZERO"},
    "QCOW-REF-OVERFLOW": {"QCOW-L2-SHARED"},
    "QCOW-RT-DUP": {"QCOW-REF-LOW"},
    "QCOW-RT-EOF": {"QCOW-REF-ZERO"},
    "QCOW-RT-RESERVED": {"QCOW-REF-ORPHAN"},
    "QCOW-RT-UNALIGNED": {"QCOW-REF-BLOCKMISSING"},
    "QCOW-SNAP-TABLE-OVERRUN": {"QCOW-REF-ORPHAN"},
}
"""Code -> codes of refcounts and owners that follow from the damage: a lost pointer leaves a cluster behind."""

for _code, _also in CONSEQUENCES.items():
    COMPANIONS[_code] = COMPANIONS.get(_code, set()) | _also
