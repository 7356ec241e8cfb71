"""Sources on a bad day: sectors that cannot be read, files that shrink or change while they are open."""

from __future__ import annotations

from collections.abc import Iterator

from qcow2inspect.errors import CannotRead
from qcow2inspect.units import HostRange


class FaultySource:
    """Bytes in memory that fail as a medium or a careless colleague makes them fail.

    Args:
        data: the bytes.
        broken: host ranges whose bytes cannot be read.
        end: size to which the file is cut after ``calm`` reads; the size that was seen at first stays.
        later: what the file holds after ``calm`` reads.
        calm: reads before anything happens.
    """

    def __init__(
        self,
        data: bytes,
        *,
        broken: tuple[HostRange, ...] = (),
        end: int | None = None,
        later: bytes | None = None,
        calm: int = 0,
    ) -> None:
        self.name = "faulty.qcow2"
        self.size = self.allocated = len(data)
        self.identity = None
        self.reads = 0
        self._data, self._later = data, data if later is None else later
        self._broken, self._end, self._calm = broken, end, calm

    def read_at(self, offset: int, size: int) -> bytes:
        self.reads += 1
        size = min(size, max(0, self.size - offset))
        for part in self._broken:
            if offset < part.end and part.start < offset + size:
                raise CannotRead(f"reading {size} bytes at {offset:#x} failed: Input/output error", exit_code=74)
        if self.reads <= self._calm:
            return self._data[offset : offset + size]
        return self._later[: self._end][offset : offset + size]

    def data_ranges(self, within: HostRange) -> Iterator[HostRange]:
        part = within.clip(0, self.size)
        if part:
            yield part
