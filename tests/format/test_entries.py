"""Snapshot table entries, bitmap directory entries, LUKS headers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.format.bitmap import BitmapDirectoryEntry, BitmapFlags, BitmapTableEntry, read_bitmap
from qcow2inspect.format.luks import LUKS_MAGIC, LuksHeader, read_luks
from qcow2inspect.format.snapshot import SnapshotEntry, SnapshotExtra, read_snapshot
from qcow2inspect.units import HostOffset

AT = HostOffset(0x40000)


def snapshot(extra: bytes, ident: bytes = b"1", name: bytes = b"before", vm_state: int = 7) -> bytes:
    fixed = SnapshotEntry(HostOffset(0x30000), 2, len(ident), len(name), 1_700_000_000, 5, 99, vm_state, len(extra))
    data = fixed.encode() + extra + ident + name
    return data + bytes(-len(data) % 8)


FULL = SnapshotExtra(1 << 33, 1 << 30, 42).encode()  # type: ignore[arg-type]
NEWER = FULL + b"0123456789abcdef"

# extra data, vm state size, disk size, icount, names of the nodes of the extra data
EXTRAS = [
    (b"", 7, None, None, []),
    (FULL[:8], 1 << 33, None, None, ["vm_state_size"]),
    (FULL[:12], 1 << 33, None, None, ["vm_state_size", "unknown_extra_data"]),
    (FULL[:16], 1 << 33, 1 << 30, None, ["vm_state_size", "disk_size"]),
    (FULL, 1 << 33, 1 << 30, 42, ["vm_state_size", "disk_size", "icount"]),
    (NEWER, 1 << 33, 1 << 30, 42, ["vm_state_size", "disk_size", "icount", "unknown_extra_data"]),
]


@pytest.mark.parametrize(("extra", "vm_state", "disk", "icount", "names"), EXTRAS)
def test_snapshots_with_more_or_less_extra_data(
    extra: bytes, vm_state: int, disk: int | None, icount: int | None, names: list[str]
) -> None:
    data = snapshot(extra)
    found = read_snapshot(b"\xee" * 16 + data + b"\xee" * 9, 16, AT)
    assert (found.vm_state_size, found.disk_size, found.icount) == (vm_state, disk, icount)
    assert (found.id, found.name, found.size) == (b"1", b"before", len(data))
    nodes = found.nodes("snap[0]")
    assert [node.name for node in nodes[len(SnapshotEntry.ROWS) : -2]] == names
    covered = sorted((int(node.where.start), int(node.where.end)) for node in nodes)
    assert covered[0][0] == AT
    assert all(end == start for (_, end), (start, _) in pairwise(covered))
    assert covered[-1][1] == AT + 40 + len(extra) + 7


def test_all_ones_means_no_instruction_count() -> None:
    assert read_snapshot(snapshot(FULL[:16] + b"\xff" * 8), 0, AT).icount is None


def test_a_snapshot_that_is_cut_off_is_refused() -> None:
    whole = snapshot(FULL, name=b"x" * 100)
    used = 40 + 24 + 1 + 100
    assert read_snapshot(whole[:used], 0, AT).name == b"x" * 100
    for size in (0, 39, 40, 63, used - 1):
        with pytest.raises(ValueError, match="needs"):
            read_snapshot(whole[:size], 0, AT)


def test_names_of_snapshots_are_safe_to_print() -> None:
    assert read_snapshot(snapshot(b"", b"1", b"\x1b[2J\xff"), 0, AT).title == "1 “\\x1b[2J\\xff”"


def bitmap(name: bytes, extra: bytes = b"", flags: int = 2) -> bytes:
    fixed = BitmapDirectoryEntry.parse(
        (0x90000).to_bytes(8, "big") + (3).to_bytes(4, "big") + flags.to_bytes(4, "big") + b"\1\x10"
        + len(name).to_bytes(2, "big") + len(extra).to_bytes(4, "big")
    )  # fmt: skip
    data = fixed.encode() + extra + name
    return data + bytes(-len(data) % 8)


@pytest.mark.parametrize(("name", "extra"), [(b"b", b""), (b"backup-0", b""), (b"nightly", b"more extra data")])
def test_bitmaps(name: bytes, extra: bytes) -> None:
    data = bitmap(name, extra)
    found = read_bitmap(b"\xee" * 8 + data + b"\xee", 8, AT)
    assert (found.name, found.size, found.entry.bitmap_table_offset) == (name, len(data), 0x90000)
    assert (found.entry.bitmap_table_size, found.entry.granularity_bits, found.entry.flags.auto) == (3, 16, True)
    node = found.nodes("bitmap[0]")[-1]
    assert (node.name, node.where.start, node.where.size) == ("name", AT + 24 + len(extra), len(name))


def test_a_bitmap_that_is_cut_off_is_refused() -> None:
    whole = bitmap(b"nightly", b"extra")
    for size in (0, 23, 24, 28, 35):
        with pytest.raises(ValueError, match=r"needs|runs past"):
            read_bitmap(whole[:size], 0, AT)


def test_bitmap_words() -> None:
    assert BitmapFlags.RESERVED == 0xFFFF_FFF8
    assert BitmapTableEntry.RESERVED == 0xFF00_0000_0000_01FE
    assert BitmapTableEntry.bitmap_cluster_offset.mask == 0x00FF_FFFF_FFFF_FE00


@given(st.binary(min_size=LuksHeader.SIZE, max_size=LuksHeader.SIZE + 9))
def test_luks_headers_round_trip(data: bytes) -> None:
    header = read_luks(data, AT)
    assert header.encode() == data[: LuksHeader.SIZE]
    assert read_luks(header.encode(), AT) == header


def test_luks_layout() -> None:
    assert LuksHeader.SIZE == 592
    assert bytes.fromhex("4c554b53babe") == LUKS_MAGIC
    with pytest.raises(ValueError, match="needs"):
        read_luks(bytes(591), AT)
