"""Bytes in memory: what the image writer makes, and what tests look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.units import HostRange

__all__ = ["MemorySource"]


class MemorySource:
    """A :class:`~qcow2inspect.source.protocol.Source` over a bytes object."""

    def __init__(self, data: bytes, name: str = "memory") -> None:
        self._data = data
        self.name = name
        self.size = len(data)
        self.allocated = len(data)
        self.identity = None

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on; fewer only at the end."""
        if offset < 0 or size < 0:
            raise ValueError(f"cannot read {size} bytes at {offset}")
        return self._data[offset : offset + size]

    def data_ranges(self, within: HostRange) -> Iterator[HostRange]:
        """All of it: memory has no holes."""
        part = within.clip(0, self.size)
        if part:
            yield part
