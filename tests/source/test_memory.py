"""Bytes in memory behave like the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.source.file import FileSource
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.source.protocol import Source, read_padded
from qcow2inspect.units import HostRange


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, Source]:
    data = bytes(range(200))
    path: Path = tmp_path_factory.mktemp("pair") / "file"
    path.write_bytes(data)
    return MemorySource(data), FileSource(path)


@given(offset=st.integers(0, 1 << 66) | st.integers(0, 210), size=st.integers(0, 300))
def test_both_sources_say_the_same(pair: tuple[Source, Source], offset: int, size: int) -> None:
    memory, file = pair
    assert memory.size == file.size
    assert memory.read_at(offset, size) == file.read_at(offset, size)
    assert read_padded(memory, offset, size) == read_padded(file, offset, size)
    window = HostRange.at(offset, size)
    assert sum(part.size for part in memory.data_ranges(window)) == window.clip(0, 200).size


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (0, -1)])
def test_negative_numbers_are_a_mistake_of_the_caller(offset: int, size: int) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        MemorySource(b"").read_at(offset, size)
