"""For every rule an image that triggers it; the sound image that must trigger nothing bad is :func:`sound`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from qcow2inspect.build.recipe import Compressed, Data, Recipe, Snapshot, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.header import CryptMethod

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


def broken(recipe: Recipe = SOUND, end: int | None = None, **damage: int) -> bytes:
    """An image with damage; in the names of fields ``__`` stands for a dot."""
    return build(replace(recipe, damage={name.replace("__", "."): value for name, value in damage.items()}, end=end))


def damaged(address: str, value: int, recipe: Recipe = SOUND) -> bytes:
    """An image with damage at one address."""
    return build(replace(recipe, damage={address: value}))


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
    "QCOW-HDR-SNAP-COUNT": lambda: broken(hdr__nb_snapshots=65_537),
    "QCOW-HDR-SNAP-OFFSET": lambda: broken(hdr__snapshots_offset=0x123),
    "QCOW-HDR-SUBCLUSTER": lambda: broken(hdr__incompatible_features__extended_l2=1),
    "QCOW-L1-EOF": lambda: damaged("L1[0]", FAR),
    "QCOW-L1-RESERVED": lambda: damaged("L1[0].reserved_low", 4),
    "QCOW-L1-UNALIGNED": lambda: damaged("L1[0].l2_table_offset", 0x3200),
    "QCOW-L1-ZERO-FLAGS": lambda: damaged("L1[0]", 1 << 63),
    "QCOW-L2-COPIED-NOOFFSET": lambda: damaged("L1[0].L2[9]", 1 << 63),
    "QCOW-L2-EOF": lambda: damaged("L1[0].L2[0].host_cluster_offset", FAR),
    "QCOW-L2-PREALLOC-UNALIGNED": lambda: damaged("L1[0].L2[3].host_cluster_offset", 0x5200),
    "QCOW-L2-RESERVED": lambda: damaged("L1[0].L2[0].reserved_high", 1 << 58),
    "QCOW-L2-UNALIGNED": lambda: damaged("L1[0].L2[0].host_cluster_offset", 0x5200),
    "QCOW-L2-ZERO-V2": lambda: damaged("L1[0].L2[0].reads_as_zero", 1, V2),
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
