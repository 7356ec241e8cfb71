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
        ("16 bit", "be 258  le 513"),
        ("32 bit", "be 16,909,060  le 67,305,985"),
        ("64 bit", "be 72,623,859,790,382,856  le 578,437,695,752,307,201"),
    ]


def test_signed_where_it_makes_a_difference() -> None:
    assert dict(readings(b"\xff\xfe"))["8 bit"] == "255  signed -1"
    assert dict(readings(b"\xff\xfe"))["16 bit"] == "be 65,534 signed -2  le 65,279 signed -257"


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
