"""Header extensions: every kind, and everything that can be wrong with the list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.format.extensions import ExtensionArea, HeaderExtension, Unknown, known_extensions, parse_extensions
from qcow2inspect.format.extensions.backing_format import BackingFormat
from qcow2inspect.format.extensions.bitmaps import Bitmaps
from qcow2inspect.format.extensions.data_file import DataFile
from qcow2inspect.format.extensions.encryption import EncryptionHeader
from qcow2inspect.format.extensions.feature_names import FeatureNames, FeatureType
from qcow2inspect.layout.node import Node


def record(magic: int, data: bytes = b"", length: int | None = None) -> bytes:
    head = magic.to_bytes(4, "big") + (len(data) if length is None else length).to_bytes(4, "big")
    return head + data + bytes(-len(data) % 8)


END = record(0)


def area_of(records: bytes, *, room: int = 512, start: int = 112) -> ExtensionArea:
    cluster = (bytes(start) + records).ljust(room, b"\0")
    return parse_extensions(cluster, start, room)


def u64(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, "big") for number in numbers)


NAMES = b"\0\1" + b"corrupt bit".ljust(46, b"\0") + b"\2\0" + b"bit\x1bmaps".ljust(46, b"\0")
KINDS: list[tuple[int, bytes, type[HeaderExtension], str]] = [
    (0xE2792ACA, b"qcow2", BackingFormat, "qcow2"),
    (0x6803F857, NAMES, FeatureNames, "2 names"),
    (0x23852875, b"\0\0\0\2\0\0\0\0" + u64(96, 0x70000), Bitmaps, "2 at 0x70000"),
    (0x23852875, b"short", Bitmaps, "5 bytes"),
    (0x0537BE77, u64(0x60000, 0x1F8000), EncryptionHeader, "0x60000, 2,064,384 B (1.97 MiB)"),
    (0x0537BE77, b"", EncryptionHeader, "0 bytes"),
    (0x44415441, b"disk\x1b.raw", DataFile, "disk\\x1b.raw"),
    (0x12345678, b"abc", Unknown, "0x12345678, 3 bytes"),
]


@pytest.mark.parametrize(("magic", "data", "kind", "shown"), KINDS)
def test_kinds(magic: int, data: bytes, kind: type[HeaderExtension], shown: str) -> None:
    area = area_of(record(magic, data) + END)
    (extension,) = area.extensions
    assert type(extension) is kind
    assert (extension.at, extension.data, extension.shown) == (112, data, shown)
    assert extension.where.size == 8 + -(-len(data) // 8) * 8
    assert area.end_marker == extension.where.end
    assert area.overrun is None


def test_every_kind_of_the_specification_is_known() -> None:
    assert set(known_extensions()) == {magic for magic, _, kind, _ in KINDS if kind is not Unknown}


def test_feature_names() -> None:
    (extension,) = area_of(record(0x6803F857, NAMES + b"cut off") + END).extensions
    assert isinstance(extension, FeatureNames)
    assert extension.name_of(FeatureType.INCOMPATIBLE, 1) == "corrupt bit"
    assert extension.name_of(FeatureType.AUTOCLEAR, 0) == "bit\\x1bmaps"
    assert extension.name_of(FeatureType.COMPATIBLE, 1) is None
    assert len(extension.names) == 2


def test_pointers() -> None:
    luks, bitmaps = area_of(
        record(0x0537BE77, u64(0x60000, 0x1000)) + record(0x23852875, b"\0\0\0\3\0\0\0\0" + u64(64, 0x80000)) + END
    ).extensions
    assert isinstance(luks, EncryptionHeader)
    assert isinstance(bitmaps, Bitmaps)
    assert luks.pointer is not None
    assert (luks.pointer.offset, luks.pointer.length) == (0x60000, 0x1000)
    assert bitmaps.pointer is not None
    assert (bitmaps.pointer.nb_bitmaps, bitmaps.pointer.bitmap_directory_offset) == (3, 0x80000)


def test_duplicates_are_all_kept() -> None:
    area = area_of(record(0xE2792ACA, b"raw") + record(0xE2792ACA, b"qcow2") + END)
    assert [extension.data for extension in area.extensions] == [b"raw", b"qcow2"]


def test_the_list_may_end_with_the_area() -> None:
    area = area_of(record(0xE2792ACA, b"raw"), room=112 + 16)
    assert len(area.extensions) == 1
    assert area.end_marker is None
    assert area.overrun is None


@pytest.mark.parametrize("length", [17, 512, 0xFFFF_FFFF])
def test_a_record_that_leads_past_the_area_ends_the_list(length: int) -> None:
    area = area_of(record(0xE2792ACA, b"raw") + record(0x12345678, b"x" * 16, length), room=112 + 16 + 24)
    assert len(area.extensions) == 1
    assert area.overrun is not None
    assert area.overrun.length == length
    assert area.end_marker is None


def test_a_record_may_fill_the_area_to_the_last_byte_without_padding() -> None:
    area = area_of(record(0x12345678, b"x" * 16)[: 8 + 13], room=112 + 8 + 13)
    assert area.overrun is not None  # the length says 16
    area = parse_extensions(bytes(112) + record(0x12345678, b"x" * 13)[:21], 112, 133)
    assert [extension.data for extension in area.extensions] == [b"x" * 13]


def test_a_record_needs_room_even_to_end_the_list() -> None:
    for cluster, end in ((bytes(512), 119), (bytes(112) + bytes(4) + b"\0\0\2\0" + bytes(392), 512)):
        area = parse_extensions(cluster, 112, end)
        assert (area.extensions, area.end_marker) == ((), None)
        assert area.overrun is not None
        assert area.overrun.magic == 0


@pytest.mark.parametrize(("start", "end"), [(112, 112), (200, 112)])
def test_no_room_for_a_record(start: int, end: int) -> None:
    area = parse_extensions(bytes(512), start, end)
    assert (area.extensions, area.end_marker, area.overrun) == ((), None, None)
    assert area.where.size == max(0, end - start)


def leaves(node: Node) -> list[Node]:
    return [node] if node.is_leaf else [leaf for child in node.children() for leaf in leaves(child)]


MAGICS = st.sampled_from([*known_extensions(), 0x12345678])


@given(st.lists(st.tuples(MAGICS, st.binary(max_size=120)), max_size=5))
def test_what_is_written_is_read_and_every_byte_has_a_node(records: list[tuple[int, bytes]]) -> None:
    area = area_of(b"".join(record(*each) for each in records) + END, room=2048)
    assert [(extension.record.magic, extension.data) for extension in area.extensions] == records
    for extension in area.extensions:
        covered: set[int] = set()
        for node in extension.nodes("ext[0]"):
            covered.update(range(node.where.start, node.where.end))
            assert all(leaf.shown.isprintable() for leaf in leaves(node))
        if len(extension.data) % 48 == 0 or not isinstance(extension, (FeatureNames, Bitmaps, EncryptionHeader)):
            rest = set(range(extension.where.start, extension.where.end)) - covered
            assert not rest or isinstance(extension, (Bitmaps, EncryptionHeader))


@given(st.binary(max_size=400), st.integers(0, 500), st.integers(0, 500))
def test_any_bytes_parse(cluster: bytes, start: int, end: int) -> None:
    area = parse_extensions(cluster, start, end)
    assert sum(extension.where.size for extension in area.extensions) <= max(0, end - start) + 7
    assert all(extension.at < len(cluster) for extension in area.extensions)


@pytest.mark.parametrize(("stored", "name"), [(4, b""), (8, b""), (11, b"a.r"), (13, b"a.raw")])
def test_a_record_goes_on_in_zeros_where_the_file_ends(stored: int, name: bytes) -> None:
    """As QEMU reads it; only the magic has to be there."""
    whole = record(DataFile.MAGIC, b"a.raw")[:13] if stored > 4 else b"DATA"
    area = parse_extensions(bytes(112) + whole[:stored], 112, 4096)
    assert area.overrun is None
    assert [extension.data.rstrip(b"\0") for extension in area.extensions] == [name]
