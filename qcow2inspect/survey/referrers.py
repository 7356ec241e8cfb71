"""Which entries lead to given host clusters: a second look at the L2 tables, taken only where something is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.survey.odd import OddEntry
from qcow2inspect.survey.walk import read_batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qcow2inspect.image.image import Image
    from qcow2inspect.image.tree import Mapping
    from qcow2inspect.survey.columns import Ints
    from qcow2inspect.survey.tables import Tables
    from qcow2inspect.survey.walk import Batch

__all__ = ["find_referrers"]

_EACH = 4


def find_referrers(
    image: Image, tables: Tables, states: Sequence[Mapping], *, clusters: Ints, skipped: Ints
) -> dict[int, list[OddEntry]]:
    """The L2 entries, at most four each, that claim host clusters.

    Args:
        image: the image.
        tables: its L2 tables.
        states: the active state and the snapshots.
        clusters: the clusters in question, ascending.
        skipped: tables that hold no entries, whatever they look like.
    """
    import numpy as np

    found: dict[int, list[OddEntry]] = {}
    if not len(clusters):
        return found
    sound = ~tables.is_phantom & (tables.offsets < image.end)
    sound[skipped] = False
    usable = np.flatnonzero(sound)
    for _, batch in read_batches(image, tables.offsets, usable):
        for row, cluster in _hits(batch, clusters, image.geometry.cluster_bits):
            entries = found.setdefault(cluster, [])
            if len(entries) < _EACH:
                entries.append(_entry(image, tables, states, batch, row, cluster))
    return found


def _hits(batch: Batch, clusters: Ints, bits: int) -> list[tuple[int, int]]:
    """Row of the batch and cluster for each claim on one of the clusters."""
    import numpy as np

    used = batch.stored | batch.compressed
    start = batch.offset >> bits
    size = np.where(batch.compressed, batch.stream, batch.length << bits)
    end = ((batch.offset + np.maximum(size, 1) - 1) >> bits) + 1
    low, high = np.searchsorted(clusters, start), np.searchsorted(clusters, end)
    rows = np.flatnonzero(used & (high > low))
    return [(row, cluster) for row in rows.tolist() for cluster in clusters[int(low[row]) : int(high[row])].tolist()]


def _entry(image: Image, tables: Tables, states: Sequence[Mapping], batch: Batch, row: int, cluster: int) -> OddEntry:
    table, raw, index = int(batch.table[row]), int(batch.raw[row]), int(batch.index[row])
    if not batch.compressed[row]:
        step = max(0, cluster - (int(batch.offset[row]) >> image.geometry.cluster_bits))
        step = min(step, int(batch.length[row]) - 1)
        raw, index = raw + step * image.geometry.cluster_size, index + step
    return OddEntry(states[int(tables.state[table])], int(tables.l1_index[table]), index, raw)
