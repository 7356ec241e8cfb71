"""Packed columns: all widths, least significant bits first below a byte."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.layout import packed

# refcount blocks written by qemu-img: clusters 0-5 in use, 4 and 5 shared with a snapshot
WRITTEN_BY_QEMU = [
    (1, "3f", [1, 1, 1, 1, 1, 1, 0, 0]),
    (2, "555a", [1, 1, 1, 1, 2, 2, 1, 1]),
    (4, "11112211", [1, 1, 1, 1, 2, 2, 1, 1]),
    (8, "0101010102020101", [1, 1, 1, 1, 2, 2, 1, 1]),
    (16, "00010001000100010002", [1, 1, 1, 1, 2]),
]


@pytest.mark.parametrize(("width", "data", "values"), WRITTEN_BY_QEMU)
def test_blocks_written_by_qemu(width: int, data: str, values: list[int]) -> None:
    raw = bytes.fromhex(data)
    assert list(packed.unpack(raw, width)) == values
    assert packed.pack(values, width) == raw
    assert [packed.get(raw, i, width) for i in range(len(values))] == values


@st.composite
def columns(draw: st.DrawFn) -> tuple[int, list[int]]:
    width = draw(st.sampled_from(packed.WIDTHS))
    return width, draw(st.lists(st.integers(0, 2**width - 1), max_size=70))


@given(columns())
def test_unpack_is_the_inverse_of_pack(column: tuple[int, list[int]]) -> None:
    width, values = column
    data = packed.pack(values, width)
    assert list(packed.unpack(data, width))[: len(values)] == values
    assert len(data) == -(-len(values) * width // 8)
    for index, value in enumerate(values):
        assert packed.get(data, index, width) == value


@given(columns())
def test_put_builds_what_pack_builds(column: tuple[int, list[int]]) -> None:
    width, values = column
    data = bytearray(-(-len(values) * width // 8))
    for index, value in enumerate(values):
        packed.put(data, index, width, value)
    assert bytes(data) == packed.pack(values, width)


def test_bounds() -> None:
    with pytest.raises(IndexError):
        packed.get(b"\0", 1, 16)
    with pytest.raises(IndexError):
        packed.get(b"\0", 8, 1)
    with pytest.raises(OverflowError):
        packed.put(bytearray(1), 0, 2, 4)
    with pytest.raises(OverflowError):
        packed.pack([256], 8)
    with pytest.raises(ValueError, match="width 3"):
        packed.unpack(b"", 3)


def test_dtype_is_native() -> None:
    assert packed.unpack(b"\0\1", 16).dtype == np.dtype("=u8")
