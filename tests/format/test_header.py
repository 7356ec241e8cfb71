"""Headers of versions 1, 2 and 3, long ones and short ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.format.header import CompressionType, CryptMethod, Header, HeaderV2, HeaderV3, magic_shown, utc
from qcow2inspect.format.v1 import HeaderV1
from qcow2inspect.layout.structure import Structure

V2 = bytes.fromhex("514649fb00000002") + bytes(64)


def v3(length: int, tail: bytes = b"") -> bytes:
    return bytes.fromhex("514649fb00000003") + bytes(88) + b"\0\0\0\4" + length.to_bytes(4, "big") + tail


OFFSETS = {
    HeaderV2: {
        "magic": 0,
        "version": 4,
        "backing_file_offset": 8,
        "backing_file_size": 16,
        "cluster_bits": 20,
        "size": 24,
        "crypt_method": 32,
        "l1_size": 36,
        "l1_table_offset": 40,
        "refcount_table_offset": 48,
        "refcount_table_clusters": 56,
        "nb_snapshots": 60,
        "snapshots_offset": 64,
    },
    Header: {
        "incompatible_features": 72,
        "compatible_features": 80,
        "autoclear_features": 88,
        "refcount_order": 96,
        "header_length": 100,
        "compression_type": 104,
        "padding": 105,
    },
    HeaderV1: {
        "magic": 0,
        "version": 4,
        "backing_file_offset": 8,
        "backing_file_size": 16,
        "mtime": 20,
        "size": 24,
        "cluster_bits": 32,
        "l2_bits": 33,
        "padding": 34,
        "crypt_method": 36,
        "l1_table_offset": 40,
    },
}


@pytest.mark.parametrize("kind", OFFSETS)
def test_fields_lie_where_the_specification_says(kind: type[Structure]) -> None:
    assert {name: kind.row(name).at for name in OFFSETS[kind]} == OFFSETS[kind]


def test_sizes() -> None:
    assert (HeaderV1.SIZE, HeaderV2.SIZE, HeaderV3.SIZE, Header.SIZE) == (48, 72, 104, 112)


@given(st.binary(max_size=64))
def test_version_2_ends_at_byte_72_whatever_follows(rest: bytes) -> None:
    header = Header.read(V2 + rest)
    assert header == Header.read(V2)
    assert (header.incompatible_features.raw, header.compatible_features.raw, header.autoclear_features.raw) == (
        0,
        0,
        0,
    )
    assert (header.refcount_order, header.header_length, header.compression_type) == (4, 72, CompressionType.ZLIB)
    assert header.stored_size == 72
    assert [row.name for row in header.stored_rows()] == [row.name for row in HeaderV2.ROWS]


# header length, bytes from 104 on, compression type, stored bytes, name of the last stored field
LENGTHS = [
    (104, b"\1", 0, 104, "header_length"),
    (105, b"\1\2", 1, 105, "compression_type"),
    (108, b"\1", 1, 108, "padding"),
    (112, b"\1", 1, 112, "padding"),
    (4096, b"\1", 1, 112, "padding"),
]


@pytest.mark.parametrize(("length", "tail", "compression", "stored", "last"), LENGTHS)
def test_version_3_has_the_fields_that_its_length_reaches(
    length: int, tail: bytes, compression: int, stored: int, last: str
) -> None:
    header = Header.read(v3(length, tail.ljust(8, b"\xff")))
    assert header.compression_type == compression
    assert header.stored_size == stored
    assert header.stored_rows()[-1].name == last


@pytest.mark.parametrize("length", [104, 105, 108, 111, 112, 200])
def test_no_header_field_reaches_past_the_stored_header(length: int) -> None:
    header = Header.read(v3(length, bytes(8)))
    assert max(node.where.end for node in header.stored_nodes()) == header.stored_size


@pytest.mark.parametrize("length", [0, 72, 80, 103])
def test_a_header_length_that_is_too_short_hides_no_field_of_version_3(length: int) -> None:
    header = Header.read(v3(length, b"\1" * 8))
    assert (header.refcount_order, header.header_length) == (4, length)
    assert header.compression_type is CompressionType.ZLIB


@given(st.binary(max_size=200))
def test_any_bytes_read(data: bytes) -> None:
    header = Header.read(data)
    assert all(node.shown.isprintable() for node in header.stored_nodes())


def test_unknown_numbers_keep_their_value() -> None:
    header = Header.read(V2[:32] + b"\0\0\0\x07" + V2[36:])
    assert header.crypt_method == 7
    assert not header.crypt_method.known
    assert CryptMethod(2) is CryptMethod.LUKS


def test_l1_size_of_version_1_follows_from_the_disk() -> None:
    header = HeaderV1.parse(
        bytes.fromhex("514649fb00000001") + bytes(16) + (5 << 20).to_bytes(8, "big") + b"\x0c\x09" + bytes(14)
    )
    assert header.l1_size == 3  # 2 MiB an entry


def test_words_for_people() -> None:
    assert magic_shown(0x514649FB) == "QFI\\xfb"
    assert utc(0) == "1970-01-01T00:00:00Z"
    assert utc(0xFFFF_FFFF) == "2106-02-07T06:28:15Z"
