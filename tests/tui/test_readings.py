"""Bytes as numbers and times."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.tui.readings import readings


def test_all_sizes_in_both_byte_orders() -> None:
    assert list(readings(bytes.fromhex("0102030405060708"))) == [
        ("8 bit", "1"),
        ("be16", "258"),
        ("le16", "513"),
        ("be32", "16,909,060"),
        ("le32", "67,305,985"),
        ("be64", "0x102030405060708"),
        ("le64", "0x807060504030201"),
    ]


def test_signed_where_it_makes_a_difference() -> None:
    found = dict(readings(b"\xff\xfe\xff\xff\xff\xff\xff\xff"))
    assert found["8 bit"] == "255 or -1"
    assert (found["be16"], found["le16"]) == ("65,534 or -2", "65,279 or -257")
    assert found["le64"] == "0xfffffffffffffeff or -257"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (struct.pack(">I", 1_700_000_000), "time be"),
        (struct.pack("<I", 1_700_000_000), "time le"),
        (struct.pack("<Q", (1_700_000_000 + 11_644_473_600) * 10_000_000), "FILETIME"),
    ],
)
def test_times(data: bytes, name: str) -> None:
    assert dict(readings(data))[name] == "2023-11-14 22:13:20Z"


@given(st.binary(max_size=8))
def test_whatever_the_bytes_are(data: bytes) -> None:
    found = list(readings(data))
    assert len(found) >= sum(len(data) >= size for size in (1, 2, 4, 8))
    assert all(label and text for label, text in found)
