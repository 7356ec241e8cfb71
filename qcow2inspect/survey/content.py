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


def classify_overwritten(data: bytes, geometry: Geometry, *, hopeless: bool = False) -> str:
    """What the bytes of an L2 table whose entries mostly make no sense look like; empty if like nothing known.

    Refcount blocks hold small numbers throughout. Other data has many different bytes where L2 entries have their
    flag and reserved bits; damaged entries of a real table have few.

    Args:
        data: the bytes.
        geometry: of the image.
        hopeless: no entry of many makes sense: then it is other data, however alike its bytes are.
    """
    import numpy as np

    if _are_refcounts(data, geometry.refcount_bits):
        return REFCOUNTS
    words = np.frombuffer(data, dtype=">u8")[:: geometry.l2_entry_size // 8]
    used = words[words != 0]
    return UNKNOWN_DATA if hopeless or len(np.unique(used >> np.uint64(56))) >= _VARIETY else ""


def _are_refcounts(data: bytes, bits: int) -> bool:
    """True if the bytes look like refcounts; so narrow ones are always small, and must be those of most clusters."""
    import numpy as np

    if bits <= 2:
        common = np.bincount(np.frombuffer(data.replace(b"\0", b""), dtype=np.uint8), minlength=256)
        return int(common[0xFF if bits == 1 else 0x55]) * 10 >= int(common.sum()) * 9
    counts = packed.unpack(data, bits)
    used = int(np.count_nonzero(counts))
    if bits == 4 and int(np.count_nonzero((counts == 1) | (counts == 2))) * 10 < used * 9:
        return False
    return int(counts.max()) <= _SMALL and used >= _VARIETY
