"""L2 tables that lie in holes of the image file: all zeros, without a look at each.

A file of a few megabytes can claim millions of tables, each in a place that the file system never stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.units import HostOffset, HostRange

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.image.image import Image

__all__ = ["WORTHWHILE", "in_holes"]

WORTHWHILE = 32
"""Tables from which on it pays to ask where the holes are."""


def in_holes(image: Image, offsets: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which tables the file system stores nothing of; none of them where a look is not worth while.

    Args:
        image: the image.
        offsets: host offsets of L2 tables in any order, shape ``(tables,)``.

    Returns:
        Booleans of the same shape; False also for what lies past the end of the file.
    """
    import numpy as np

    none = np.zeros(len(offsets), dtype=bool)
    inside = offsets < np.uint64(image.end)
    if len(offsets) < WORTHWHILE or image.source.allocated >= image.source.size // 2 or not inside.any():
        return none
    first = int(offsets[inside].min())
    last = int(offsets[inside].max()) + image.geometry.cluster_size
    ranges = []
    for part in image.source.data_ranges(HostRange(HostOffset(first), HostOffset(last))):
        ranges.append((int(part.start), int(part.end)))
        if len(ranges) > len(offsets):
            return none
    if not ranges:
        return inside
    starts, ends = np.array(ranges, dtype=np.uint64).T
    which = np.minimum(np.searchsorted(ends, offsets, side="right"), len(ends) - 1)
    stored = (starts[which] < offsets + np.uint64(image.geometry.cluster_size)) & (ends[which] > offsets)
    hole: npt.NDArray[np.bool_] = inside & ~stored
    return hole
