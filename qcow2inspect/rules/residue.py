"""Bytes where nothing should be: which part of a range is not zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.units import HostRange

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["content_range"]

_BATCH = 4 << 20


def content_range(image: Image, where: HostRange) -> HostRange | None:
    """From the first byte of a range that is not zero to the last one; None if all are zero."""
    first = last = None
    for at in range(int(where.start), int(where.end), _BATCH):
        data = image.read(at, min(_BATCH, where.end - at))
        if any(data):
            first = at + len(data) - len(data.lstrip(b"\0")) if first is None else first
            last = at + len(data.rstrip(b"\0"))
    return HostRange.at(first, last - first) if first is not None and last is not None else None
