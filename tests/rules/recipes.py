"""For every rule an image that triggers it; those that must trigger nothing bad are in :data:`SOUND_ONES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from qcow2inspect.build.recipe import Compressed, Data, DirtyBitmap, Recipe, Snapshot, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.image.address import resolve
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.source.memory import MemorySource
from tests.images import luks_area, noise

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
TWO_IN_DATA_FILE = replace(DATA_FILE, clusters={0: Data(b"a"), 1: Data(b"b")})
BITMAPS = replace(SOUND, bitmaps=(DirtyBitmap(b"one", (0, 3, 15)), DirtyBitmap(b"two", (1,), granularity_bits=12)))
LUKS = Recipe(
    Layout(size=MIB, cluster_bits=12, crypt_method=CryptMethod.LUKS, luks_header=luks_area()), {0: Data(b"a")}
)
STATE = replace(
    SOUND,
    layout=replace(SOUND.layout, l1_extra=2),
    clusters={**SOUND.clusters, 512: Data(b"QEVM and memory")},
    snapshots=(Snapshot(b"running"),),
    damage={"snap[0].extra.vm_state_size": 4096},
)
FAR = 1 << 40
BACKING = 0xE279_2ACA
NAMES = 0x6803_F857
WIDE = replace(SOUND, layout=replace(SOUND.layout, size=8 * MIB), clusters={0: Data(b"a"), 600: Data(b"b")})
NARROW = Recipe(Layout(size=MIB, cluster_bits=12, refcount_order=0), {0: Data(b"a")})
PLAIN = replace(SOUND, clusters={index: Data(b"a") for index in range(8)})
TWO = {0: Data(b"a"), 1: Data(b"b")}
EMPTIED = {"L1[0].L2[0]": 0, "ref[4]": 0}


def broken(recipe: Recipe = SOUND, end: int | None = None, **damage: int) -> bytes:
    """An image with damage; in the names of fields ``__`` stands for a dot."""
    return build(replace(recipe, damage={name.replace("__", "."): value for name, value in damage.items()}, end=end))


def damaged(address: str, value: int | bytes, recipe: Recipe = SOUND) -> bytes:
    """An image with damage at one address."""
    return build(replace(recipe, damage={address: value}))


def overlay(name: bytes, kind: bytes = b"raw") -> bytes:
    """An overlay of a backing file with this name."""
    return build(replace(SOUND, layout=replace(SOUND.layout, backing_name=name, backing_format=kind)))


def extended(*extensions: tuple[int, bytes], **damage: int | bytes) -> bytes:
    """An image with further header extensions, the first of which is ``ext[0]``."""
    recipe = replace(SOUND, layout=replace(SOUND.layout, extra_extensions=extensions))
    return build(replace(recipe, damage={name.replace("__", "."): value for name, value in damage.items()}))


def snapshots(*taken: Snapshot) -> bytes:
    """An image with these snapshots."""
    return build(replace(SOUND, snapshots=taken))


def encrypted(method: CryptMethod) -> Recipe:
    """An image that says it is encrypted, with no compressed cluster."""
    return replace(SOUND, layout=replace(SOUND.layout, crypt_method=method), clusters={0: Data(b"a")})


def many_long_snapshots() -> bytes:
    """An image whose snapshot table is just above 64 MiB."""
    name = b"n" * 65_535
    return build(Recipe(Layout(size=MIB, generations=200), snapshots=(Snapshot(name, ident=name),) * 512))


def with_residue() -> bytes:
    """An encrypted image in which a disabled key slot has key material."""
    area = bytearray(luks_area())
    area[(8 + 3 * 504) * 512 + 77] = 0x5A
    return build(replace(LUKS, layout=replace(LUKS.layout, luks_header=bytes(area))))


def with_slack() -> bytes:
    """An image with a remark behind the end of the header extensions."""
    data = bytearray(build(SOUND))
    data[3000:3010] = b"do not ask"
    return bytes(data)


def with_tail() -> bytes:
    """An image whose bitmap has a bit far behind the end of the disk."""
    data = bytearray(build(BITMAPS))
    tree = Tree(Image(MemorySource(bytes(data))))
    at = resolve(tree, "bitmap[0].table[0]").node.target or 0
    data[at + 99] = 1
    return bytes(data)


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


def nested() -> bytes:
    """An image on whose disk a guest wrote the header of another."""
    return build(replace(SOUND, clusters={**SOUND.clusters, 0: Data(build(SOUND)[:4096])}))


def cut(recipe: Recipe, size: int) -> bytes:
    """An image whose file ends early."""
    return build(replace(recipe, end=size))


SOUND_ONES = {
    "plain": SOUND,
    "extended": EXTENDED,
    "v2": V2,
    "snapshot": SNAPSHOTS,
    "overlay": OVERLAY,
    "data file": DATA_FILE,
    "bitmaps": BITMAPS,
    "LUKS": LUKS,
    "VM state": STATE,
}
"""Images with which nothing is wrong."""


BAD: dict[str, Callable[[], bytes]] = {
    "QCOW-BACK-ABS": lambda: overlay(b"/srv/base.raw"),
    "QCOW-BACK-DEVICE": lambda: overlay(b"/dev/sda"),
    "QCOW-BACK-EMPTY": lambda: broken(OVERLAY, hdr__backing_file_size=0),
    "QCOW-BACK-FMT-LONG": lambda: extended((BACKING, b"r" * 16)),
    "QCOW-BACK-LONG": lambda: broken(OVERLAY, hdr__backing_file_size=1024),
    "QCOW-BACK-NOFMT": lambda: overlay(b"base.raw", b""),
    "QCOW-BACK-NUL": lambda: overlay(b"base.raw\0.old"),
    "QCOW-BACK-OFFSET": lambda: broken(hdr__backing_file_offset=4097, hdr__backing_file_size=9),
    "QCOW-BACK-PRESENT": lambda: build(OVERLAY),
    "QCOW-BACK-PROTO": lambda: overlay(b"nbd://host/disk"),
    "QCOW-BACK-RAWDATA": lambda: damaged(
        "hdr.autoclear_features.raw_data_file",
        1,
        replace(DATA_FILE, layout=replace(DATA_FILE.layout, backing_name=b"base.raw", backing_format=b"raw")),
    ),
    "QCOW-BACK-TRAVERSAL": lambda: overlay(b"../base.raw"),
    "QCOW-BMP-BIT-NOEXT": lambda: broken(hdr__autoclear_features__bitmaps=1),
    "QCOW-BMP-DIR-BAD": lambda: damaged("ext[0].data.nb_bitmaps", 3, BITMAPS),
    "QCOW-BMP-DUP-NAME": lambda: build(replace(BITMAPS, bitmaps=(DirtyBitmap(b"one"), DirtyBitmap(b"one")))),
    "QCOW-BMP-ENTRY-BAD": lambda: damaged("bitmap[1].type", 2, BITMAPS),
    "QCOW-BMP-EXT-BAD": lambda: damaged("ext[0].data.reserved", 1, BITMAPS),
    "QCOW-BMP-FLAG2": lambda: damaged("bitmap[0].flags", 4, BITMAPS),
    "QCOW-BMP-INUSE": lambda: damaged("bitmap[0].flags", 3, BITMAPS),
    "QCOW-BMP-STALE": lambda: damaged("hdr.autoclear_features.bitmaps", 0, BITMAPS),
    "QCOW-BMP-TABLE-BAD": lambda: damaged("bitmap[0].table[0].reserved_low", 2, BITMAPS),
    "QCOW-BMP-TAILBITS": with_tail,
    "QCOW-CMP-COPIED": lambda: damaged("L1[0].L2[1].copied", 1),
    "QCOW-CMP-EOF": lambda: damaged("L1[0].L2[1]", 1 << 62 | FAR),
    "QCOW-CMP-HIGHBITS": lambda: damaged("L1[0].L2[1]", 1 << 62 | 1 << 57),
    "QCOW-CMP-PRESENT": lambda: build(SOUND),
    "QCOW-CRY-AES": lambda: build(encrypted(CryptMethod.AES)),
    "QCOW-CRY-EOF-PARTIAL": lambda: cut(replace(encrypted(CryptMethod.AES), clusters=TWO), 0x6200),
    "QCOW-CRY-EXT-BAD": lambda: damaged("ext[0].data.offset", 0x123, LUKS),
    "QCOW-CRY-EXT-UNEXPECTED": lambda: damaged("hdr.crypt_method", 0, LUKS),
    "QCOW-CRY-LUKS": lambda: build(LUKS),
    "QCOW-CRY-LUKS-BAD": lambda: damaged("luks.slot[2].stripes", 4, LUKS),
    "QCOW-CRY-NOEXT": lambda: build(encrypted(CryptMethod.LUKS)),
    "QCOW-CRY-PLAINTEXT": lambda: build(replace(SOUND, layout=encrypted(CryptMethod.AES).layout)),
    "QCOW-CRY-SLOT-RESIDUE": with_residue,
    "QCOW-DF-COMPRESSED": lambda: damaged("L1[0].L2[3]", 1 << 62 | 0x50000, DATA_FILE),
    "QCOW-DF-COPIED": lambda: damaged("L1[0].L2[1].copied", 0, TWO_IN_DATA_FILE),
    "QCOW-DF-OFFSET": lambda: damaged("L1[0].L2[1].host_cluster_offset", 0x30000, TWO_IN_DATA_FILE),
    "QCOW-DF-NONAME": lambda: damaged("ext[0].magic", 0x1234_5678, DATA_FILE),
    "QCOW-DF-PATH": lambda: build(replace(DATA_FILE, layout=replace(DATA_FILE.layout, data_file=b"/srv/../data"))),
    "QCOW-DF-PRESENT": lambda: build(DATA_FILE),
    "QCOW-DF-RAW-NOBIT": lambda: broken(hdr__autoclear_features__raw_data_file=1),
    "QCOW-DF-SNAPSHOTS": lambda: build(replace(DATA_FILE, snapshots=(Snapshot(b"one"),))),
    "QCOW-EXT-DUP": lambda: extended((BACKING, b"raw"), (BACKING, b"qcow2")),
    "QCOW-EXT-FEATNAME-ODD": lambda: damaged("ext[0].data.name[0].name", b"clean bit"),
    "QCOW-EXT-NOEND": lambda: extended((7, bytes(4096 - 112 - 8 - 8)), ext__end=b"\0\0\0\x08"),
    "QCOW-EXT-OVERRUN": lambda: damaged("ext[0].length", 5000),
    "QCOW-EXT-PADDING": lambda: extended((BACKING, b"raw"), **{"ext[0].padding": b"extra"}),
    "QCOW-EXT-UNKNOWN": lambda: extended((7, b"a note")),
    "QCOW-EXTL2-OVERLAP": lambda: build(
        replace(EXTENDED, clusters={0: Subclusters(0x0000_0001_0000_0001, b"a")}),
    ),
    "QCOW-HDR-AUTOCLEAR-UNKNOWN": lambda: broken(hdr__autoclear_features=1 << 40),
    "QCOW-HDR-COMPAT-UNKNOWN": lambda: broken(hdr__compatible_features=1 << 40),
    "QCOW-EXTL2-ALLOC-NOHOST": lambda: damaged("L1[0].L2[5]", bytes(15) + b"\1", EXTENDED),
    "QCOW-EXTL2-CMP-BITMAP": compressed_with_bitmap,
    "QCOW-HDR-COMPBIT": lambda: broken(hdr__compression_type=1),
    "QCOW-HDR-COMPTYPE": lambda: broken(hdr__compression_type=7),
    "QCOW-HDR-CORRUPT": lambda: broken(hdr__incompatible_features__corrupt=1),
    "QCOW-HDR-CRYPT": lambda: broken(hdr__crypt_method=3),
    "QCOW-HDR-DIRTY": lambda: broken(hdr__incompatible_features__dirty=1),
    "QCOW-HDR-INCOMPAT-UNKNOWN": lambda: broken(hdr__incompatible_features=1 << 40),
    "QCOW-HDR-L1-EOF": lambda: broken(hdr__l1_table_offset=FAR),
    "QCOW-HDR-L1-EXCESS": lambda: build(replace(SOUND, layout=replace(SOUND.layout, l1_extra=3))),
    "QCOW-HDR-L1-LARGE": lambda: broken(hdr__l1_size=4_194_305),
    "QCOW-HDR-L1-OFFSET": lambda: broken(hdr__l1_table_offset=0x3001),
    "QCOW-HDR-L1-SMALL": lambda: broken(hdr__size=1 << 30),
    "QCOW-HDR-LAYOUT": lambda: build(SOUND),
    "QCOW-HDR-LAZY": lambda: broken(hdr__compatible_features__lazy_refcounts=1),
    "QCOW-HDR-LENGTH-ALIGN": lambda: broken(hdr__header_length=109),
    "QCOW-HDR-LENGTH-CLUSTER": lambda: broken(hdr__header_length=4104),
    "QCOW-HDR-LENGTH-SHORT": lambda: broken(hdr__header_length=96),
    "QCOW-HDR-PADDING": lambda: damaged("hdr.padding", 7),
    "QCOW-HDR-REFORDER": lambda: broken(hdr__refcount_order=7),
    "QCOW-HDR-RT-EOF": lambda: broken(hdr__refcount_table_offset=FAR),
    "QCOW-HDR-RT-LARGE": lambda: broken(hdr__refcount_table_clusters=2049),
    "QCOW-HDR-RT-NONE": lambda: broken(hdr__refcount_table_clusters=0),
    "QCOW-HDR-RT-OFFSET": lambda: broken(hdr__refcount_table_offset=1 << 63),
    "QCOW-HDR-SIZE-HIDES": lambda: broken(hdr__size=8192),
    "QCOW-HDR-SIZE-HUGE": lambda: broken(hdr__size=1 << 63),
    "QCOW-HDR-SIZE-UNALIGNED": lambda: broken(hdr__size=MIB - 1),
    "QCOW-HDR-SIZE-ZERO": lambda: build(Recipe(Layout(size=0))),
    "QCOW-HDR-SLACK": with_slack,
    "QCOW-HDR-SNAP-COUNT": lambda: broken(SNAPSHOTS, hdr__nb_snapshots=65_537),
    "QCOW-HDR-SNAP-OFFSET": lambda: broken(hdr__snapshots_offset=0x123),
    "QCOW-HDR-SUBCLUSTER": lambda: broken(hdr__incompatible_features__extended_l2=1),
    "QCOW-HDR-UNKNOWN-FIELDS": lambda: build(
        replace(SOUND, damage={"hdr.header_length": 120, "ext[0].data.name[0]": bytes(8)})
    ),
    "QCOW-IMG-ALIAS-BOMB": alias_bomb,
    "QCOW-IMG-CHECKPARITY": lambda: damaged("L1[0]", 1 << 63),
    "QCOW-IMG-NESTED": nested,
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
    "QCOW-L2-EOF-PARTIAL": lambda: cut(replace(SOUND, clusters=TWO), 0x6800),
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
    "QCOW-SNAP-DISKSIZE": lambda: snapshots(Snapshot(b"one", disk_size=MIB // 2)),
    "QCOW-SNAP-EXTRA-HUGE": lambda: snapshots(Snapshot(b"one", extra=bytes(1025))),
    "QCOW-SNAP-EXTRA-SHORT": lambda: snapshots(Snapshot(b"one", extra=bytes(8))),
    "QCOW-SNAP-ID-DUP": lambda: snapshots(Snapshot(b"one"), Snapshot(b"two", ident=b"1")),
    "QCOW-SNAP-ID-EMPTY": lambda: snapshots(Snapshot(b"one", ident=b"\0")),
    "QCOW-SNAP-L1-EOF": lambda: damaged("snap[0].l1_table_offset", FAR, SNAPSHOTS),
    "QCOW-SNAP-L1-IS-ACTIVE": lambda: damaged("snap[0].l1_table_offset", 0x3000, SNAPSHOTS),
    "QCOW-SNAP-L1-LARGE": lambda: build(
        replace(SNAPSHOTS, damage={"snap[0].l1_size": 4_194_305, "snap[0].l1_table_offset": FAR})
    ),
    "QCOW-SNAP-L1-SMALL": lambda: damaged("snap[0].l1_size", 0, SNAPSHOTS),
    "QCOW-SNAP-L1-UNALIGNED": lambda: damaged("snap[0].l1_table_offset", 0x3200, SNAPSHOTS),
    "QCOW-SNAP-NAME-DUP": lambda: snapshots(Snapshot(b"one"), Snapshot(b"one")),
    "QCOW-SNAP-PRESENT": lambda: build(SNAPSHOTS),
    "QCOW-SNAP-TABLE-EOF": lambda: broken(SNAPSHOTS, hdr__snapshots_offset=FAR),
    "QCOW-SNAP-TABLE-HUGE": many_long_snapshots,
    "QCOW-SNAP-TABLE-OVERRUN": lambda: broken(SNAPSHOTS, hdr__nb_snapshots=60_000),
    "QCOW-SNAP-TIME": lambda: snapshots(Snapshot(b"one", date_sec=9), Snapshot(b"two", date_sec=8)),
    "QCOW-SNAP-UNKNOWN-EXTRA": lambda: snapshots(Snapshot(b"one", extra=MIB.to_bytes(16, "big").ljust(32, b"\0"))),
    "QCOW-SNAP-VMSTATE": lambda: build(STATE),
    "QCOW-SNAP-VMSTATE-BAD": lambda: build(replace(STATE, damage={"snap[0].extra.vm_state_size": 1 << 40})),
}
"""Code -> what makes an image that triggers it."""

COMPANIONS: dict[str, set[str]] = {
    "QCOW-BACK-EMPTY": {"QCOW-BACK-PRESENT"},
    "QCOW-BACK-LONG": {"QCOW-BACK-PRESENT"},
    "QCOW-BACK-OFFSET": {"QCOW-BACK-PRESENT"},
    "QCOW-CRY-EOF-PARTIAL": {"QCOW-CRY-AES"},
    "QCOW-CRY-PLAINTEXT": {"QCOW-CRY-AES"},
    "QCOW-DF-COMPRESSED": {"QCOW-DF-PRESENT"},
    "QCOW-HDR-L1-LARGE": {"QCOW-HDR-L1-EOF"},
    "QCOW-HDR-RT-LARGE": {"QCOW-HDR-RT-EOF"},
    "QCOW-HDR-RT-OFFSET": {"QCOW-HDR-RT-EOF"},
    "QCOW-HDR-LENGTH-ALIGN": {"QCOW-EXT-OVERRUN"},
    "QCOW-SNAP-TABLE-HUGE": {"QCOW-SNAP-ID-DUP", "QCOW-SNAP-NAME-DUP"},
}
"""Code -> codes that the same damage cannot help to trigger too."""


CONSEQUENCES: dict[str, set[str]] = {
    "QCOW-BMP-STALE": {"QCOW-REF-ORPHAN"},
    "QCOW-BMP-TABLE-BAD": {"QCOW-REF-ORPHAN"},
    "QCOW-CMP-EOF": {"QCOW-REF-ORPHAN"},
    "QCOW-CMP-HIGHBITS": {"QCOW-CMP-EOF", "QCOW-REF-ORPHAN"},
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
    "QCOW-MAP-OVERLAP": {
        "QCOW-REF-LEAK",
        "QCOW-REF-LOW",
        "QCOW-REF-ORPHAN",
        "QCOW-SNAP-EXTRA-SHORT",
        "QCOW-SNAP-ID-EMPTY",
        "QCOW-SNAP-L1-SMALL",
        "QCOW-SNAP-L1-UNALIGNED",
    },
    "QCOW-RB-INTO-META": {"QCOW-REF-LEAK", "QCOW-REF-ZERO"},
    "QCOW-RB-SELF-UNCOUNTED": {"QCOW-REF-ZERO"},
    "QCOW-REF-OVERFLOW": {"QCOW-L2-SHARED"},
    "QCOW-RT-DUP": {"QCOW-REF-LOW"},
    "QCOW-RT-EOF": {"QCOW-REF-ZERO"},
    "QCOW-RT-RESERVED": {"QCOW-REF-ORPHAN"},
    "QCOW-RT-UNALIGNED": {"QCOW-REF-BLOCKMISSING"},
    "QCOW-SNAP-TABLE-OVERRUN": {"QCOW-REF-ORPHAN"},
    "QCOW-HDR-SNAP-COUNT": {"QCOW-REF-LEAK", "QCOW-REF-ORPHAN"},
    "QCOW-CRY-EXT-UNEXPECTED": {"QCOW-REF-ORPHAN"},
    "QCOW-SNAP-EXTRA-HUGE": {"QCOW-REF-LEAK", "QCOW-REF-ORPHAN"},
    "QCOW-SNAP-L1-EOF": {"QCOW-REF-LEAK", "QCOW-REF-ORPHAN"},
    "QCOW-SNAP-L1-IS-ACTIVE": {"QCOW-MAP-OVERLAP", "QCOW-REF-LOW", "QCOW-REF-ORPHAN"},
    "QCOW-SNAP-L1-LARGE": {"QCOW-REF-LEAK", "QCOW-REF-ORPHAN"},
    "QCOW-SNAP-L1-SMALL": {"QCOW-REF-LEAK", "QCOW-REF-ORPHAN"},
    "QCOW-SNAP-L1-UNALIGNED": {"QCOW-REF-LEAK", "QCOW-REF-ORPHAN"},
    "QCOW-SNAP-TABLE-EOF": {"QCOW-REF-LEAK", "QCOW-REF-ORPHAN"},
    "QCOW-SNAP-TABLE-HUGE": {"QCOW-REF-ORPHAN"},
    "QCOW-CRY-EXT-BAD": {
        "QCOW-L1-INTO-META",
        "QCOW-L2-INTO-META",
        "QCOW-MAP-OVERLAP",
        "QCOW-RB-INTO-META",
        "QCOW-REF-LOW",
        "QCOW-REF-ORPHAN",
    },
    "QCOW-L2-BEYOND": {"QCOW-HDR-SIZE-HIDES"},
}
"""Code -> codes of refcounts and owners that follow from the damage: a lost pointer leaves a cluster behind."""

for _code, _also in CONSEQUENCES.items():
    COMPANIONS[_code] = COMPANIONS.get(_code, set()) | _also


UNOPENED: dict[str, Callable[[], bytes]] = {
    "QCOW-HDR-CLUSTERBITS": lambda: broken(hdr__cluster_bits=22),
    "QCOW-HDR-MAGIC": lambda: broken(hdr__magic=0x5146_49FA),
    "QCOW-HDR-TRUNCATED": lambda: cut(SOUND, 100),
    "QCOW-HDR-VERSION": lambda: broken(hdr__version=4),
}
"""Code -> what makes a file that cannot be opened as an image for that reason."""
