"""Recognises what stands where an L2 table should: refcounts, or other data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.layout import packed

if TYPE_CHECKING:
    from qcow2inspect.format.geometry import Geometry

__all__ = ["REFCOUNTS", "UNKNOWN_DATA", "classify_overwritten"]

REFCOUNTS = "refcounts"
UNKNOWN_DATA = "data"
_SMALL = 32
_VARIETY = 8


def classify_overwritten(data: bytes, geometry: Geometry) -> str:
    """What the bytes of an L2 table whose entries mostly make no sense look like; empty if like nothing known.

    Refcount blocks hold small numbers throughout. Other data has many different bytes where L2 entries have their
    flag and reserved bits; damaged entries of a real table have few.
    """
    import numpy as np

    words = np.frombuffer(data, dtype=">u8")[:: geometry.l2_entry_size // 8]
    used = words[words != 0]
    if geometry.refcount_bits <= 2:
        common = np.bincount(np.frombuffer(data.replace(b"\0", b""), dtype=np.uint8), minlength=256)
        if int(common[0xFF if geometry.refcount_bits == 1 else 0x55]) * 10 >= int(common.sum()) * 9:
            return REFCOUNTS
    else:
        counts = packed.unpack(data, geometry.refcount_bits)
        if int(counts.max()) <= _SMALL and np.count_nonzero(counts) >= _VARIETY:
            return REFCOUNTS
    return UNKNOWN_DATA if len(np.unique(used >> np.uint64(56))) >= _VARIETY else ""
