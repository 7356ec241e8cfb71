"""A lazy sequence of nodes over a table: one for each entry in use, one for each run of unused ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.layout.node import Lazy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.layout.node import Node

__all__ = ["entries_and_gaps", "span_name"]


def entries_and_gaps(
    used: npt.NDArray[np.bool_], count: int, entry: Callable[[int], Node], gap: Callable[[int, int], Node]
) -> Sequence[Node]:
    """A node for each entry in use and one for each run of unused ones.

    Args:
        used: which entries are in use; entries past its end are not.
        count: number of entries of the table.
        entry: makes the node of one entry.
        gap: makes the node of the unused entries ``[start, stop)``.
    """
    import numpy as np

    used = used[:count]
    starts_mask = used.copy()
    if len(used):
        starts_mask[0] = True
        starts_mask[1:] |= used[:-1]
    starts = np.flatnonzero(starts_mask)
    if count > len(used) and (not len(used) or used[-1]):
        starts = np.append(starts, len(used))

    def make(place: int) -> Node:
        start = int(starts[place])
        stop = int(starts[place + 1]) if place + 1 < len(starts) else count
        return entry(start) if start < len(used) and used[start] else gap(start, stop)

    return Lazy(len(starts), make)


def span_name(start: int, stop: int) -> str:
    """How the entries ``[start, stop)`` of a table are named."""
    return f"[{start}]" if stop == start + 1 else f"[{start}‥{stop - 1}]"
