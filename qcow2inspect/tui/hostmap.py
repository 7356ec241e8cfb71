"""What every host cluster belongs to, how often it is counted, and which states need it.

Where two owners that must not share a cluster claim it, or a refcount has no owner, the map says so. A file of more
than :data:`~.clustermap.MOST` clusters is mapped in units of several clusters; the worst of a unit counts.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from qcow2inspect.progress import Silent
from qcow2inspect.survey.claims import Owner as Claimant
from qcow2inspect.tui import clustermap
from qcow2inspect.tui.clustermap import ClusterMap, Count, Kind, Owner, Use
from qcow2inspect.tui.nibbles import PIECE, Nibbles, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.progress import Progress
    from qcow2inspect.survey.columns import Counts, Ints
    from qcow2inspect.survey.survey import Survey
    from qcow2inspect.survey.usage import Stretches, Usage

    Kinds = npt.NDArray[np.uint8]
    Mask = npt.NDArray[np.bool_]

__all__ = ["Colouring", "make_host_map"]


class Colouring(Enum):
    """What the colours of a map tell; the entropy is not known from tables, see :mod:`~.entropy`."""

    TYPE = "type"
    REFCOUNT = "refcount"
    STATE = "snapshot"
    ENTROPY = "entropy"

    @property
    def next(self) -> Colouring:
        """The one after this; after the last, the first."""
        every = list(Colouring)
        return every[(every.index(self) + 1) % len(every)]


_SHORT = 64
"""Units of a structure up to which many of its size are painted together."""

_METADATA = {
    Owner.HEADER: (Claimant.HEADER,),
    Owner.L1: (Claimant.L1, Claimant.L1_SNAPSHOT),
    Owner.L2: (Claimant.L2, Claimant.L2_SNAPSHOT),
    Owner.REFCOUNT: (Claimant.REFCOUNT_TABLE, Claimant.REFCOUNT_BLOCK),
    Owner.SNAPSHOT: (Claimant.SNAPSHOT_TABLE,),
    Owner.LUKS: (Claimant.LUKS,),
    Owner.BITMAP: (Claimant.BITMAP_DIRECTORY, Claimant.BITMAP_TABLE, Claimant.BITMAP_DATA),
}


def make_host_map(
    survey: Survey, progress: Progress | None = None, *, colouring: Colouring = Colouring.TYPE
) -> ClusterMap:
    """The map of an image whose tables were read.

    Raises:
        Cancelled: the user asked to stop.
    """
    image, usage = survey.image, survey.usage
    clusters = image.geometry.host_clusters(image.end)
    shift = max(0, (clusters - 1).bit_length() - clustermap.MOST.bit_length() + 1)
    owners = Nibbles(-(-clusters >> shift))
    if usage is not None:
        for rows in usage.stretches_of(0, clusters, PIECE):
            (progress or Silent()).advance(0)
            _paint(owners, rows, _values(survey, rows, colouring), shift)
        for owner, claims in _structures(survey, usage, colouring):
            _paint_metadata(owners, usage, claims, owner, shift)
    unit, told = image.geometry.cluster_size << shift, colouring.value
    return ClusterMap(owners, unit, 1 << shift, image.end, _KINDS[colouring], told)


_KINDS: dict[Colouring, type[Kind]] = {Colouring.TYPE: Owner, Colouring.REFCOUNT: Count, Colouring.STATE: Use}


# -- guest data, leaks, conflicts -------------------------------------------------------------------------------


def _values(survey: Survey, rows: Stretches, colouring: Colouring) -> Kinds:
    """The kind of each of consecutive stretches."""
    if colouring is Colouring.REFCOUNT:
        return _counts(rows)
    return _owners(rows) if colouring is Colouring.TYPE else _uses(rows, apart=not len(survey.image.snapshots))


def _counts(rows: Stretches) -> Kinds:
    import numpy as np

    values = np.digitize(rows.stored, (1, 2, 3, 4, 16)).astype(np.uint8)
    values[rows.stored > rows.references] = Count.HIGH
    values[rows.stored < rows.references] = Count.LOW
    return values


def _owners(rows: Stretches) -> Kinds:
    import numpy as np

    values = np.where(rows.stored > 0, np.uint8(Owner.LEAKED), np.uint8(Owner.FREE))
    values[rows.snapshots > 0] = Owner.KEPT
    values[rows.active > 0] = Owner.DATA
    values[rows.packed > 0] = Owner.COMPRESSED
    values[rows.metadata > 0] = Owner.FREE
    values[_clash(rows)] = Owner.CONFLICT
    return values


def _uses(rows: Stretches, *, apart: bool) -> Kinds:
    """``apart``: there are no snapshots, so that compressed clusters belong to the active state."""
    import numpy as np

    leaked = (rows.stored > 0) & (rows.references == 0)
    values = np.where(leaked, np.uint8(Use.LEAKED), np.uint8(Use.NONE))
    values[rows.packed > 0] = Use.ACTIVE if apart else Use.PACKED
    for use, mask in _states(rows.active, rows.snapshots):
        values[mask] = use
    values[rows.metadata > 0] = Use.NONE
    values[_clash(rows)] = Use.CONFLICT
    return values


def _states(active: Counts | Ints, snapshots: Counts | Ints) -> Iterator[tuple[Use, Mask]]:
    """What is used so often by the active state and by snapshots."""
    yield Use.ACTIVE, (active > 0) & (snapshots == 0)
    yield Use.SHARED, (active > 0) & (snapshots > 0)
    yield Use.SNAPSHOT, (active == 0) & (snapshots == 1)
    yield Use.SEVERAL, (active == 0) & (snapshots > 1)


def _clash(rows: Stretches) -> Mask:
    """Metadata and guest data in one cluster, or data that is compressed and data that is not."""
    whole = (rows.active > 0) | (rows.snapshots > 0)
    return (rows.metadata > 0) & (whole | (rows.packed > 0)) | (rows.packed > 0) & whole


def _paint(owners: Nibbles, rows: Stretches, values: Kinds, shift: int) -> None:
    """Put the kinds of consecutive stretches on the map."""
    if not values.any():
        return
    first, stop = int(rows.start[0]) >> shift, ((int(rows.end[-1]) - 1) >> shift) + 1
    for low, high in pieces(first, stop):
        owners.raise_to(low, _of_units(rows, values, low, high, shift))


def _of_units(rows: Stretches, values: Kinds, low: int, high: int, shift: int) -> Kinds:
    """The worst kind of each of the units ``[low, high)``, all of which consecutive stretches reach into."""
    import numpy as np

    first = np.searchsorted(rows.end, [low << shift], side="right")[0]
    last = np.searchsorted(rows.start, [high << shift], side="left")[0]
    starts, ends, some = rows.start[first:last], rows.end[first:last], values[first:last]
    if not shift:
        return np.repeat(some, np.minimum(ends, high) - np.maximum(starts, low))
    units = np.arange(low, high, dtype=np.int64) << shift
    inside = np.searchsorted(ends, np.maximum(units, starts[0]), side="right")
    behind = np.searchsorted(starts, np.minimum(units + (1 << shift), ends[-1]), side="left")
    borders = np.stack((inside, behind), axis=1).reshape(-1)
    return np.maximum.reduceat(np.append(some, np.uint8(0)), borders)[::2]


# -- metadata ---------------------------------------------------------------------------------------------------


def _structures(survey: Survey, usage: Usage, colouring: Colouring) -> Iterator[tuple[Kind, Mask]]:
    """The kinds of metadata, and which claims of metadata are of each."""
    import numpy as np

    claims = usage.metadata
    if colouring is Colouring.TYPE:
        for owner, claimants in _METADATA.items():
            yield owner, np.isin(claims.owner, claimants)
    elif colouring is Colouring.STATE:
        yield from _states_of_structures(survey, usage)


def _states_of_structures(survey: Survey, usage: Usage) -> Iterator[tuple[Kind, Mask]]:
    """A table belongs to the states that read it, the rest to the file."""
    import numpy as np

    claims, tables = usage.metadata, survey.tables
    active, snapshots = np.zeros_like(claims.weight), np.zeros_like(claims.weight)
    active[claims.owner == Claimant.L1] = 1
    is_snapshot = claims.owner == Claimant.L1_SNAPSHOT
    snapshots[is_snapshot] = claims.weight[is_snapshot]
    is_table = np.isin(claims.owner, (Claimant.L2, Claimant.L2_SNAPSHOT))
    if tables is not None:
        active[is_table] = tables.active[claims.index[is_table]]
        snapshots[is_table] = tables.snapshot[claims.index[is_table]]
    yield Use.FILE, (active == 0) & (snapshots == 0)
    yield from _states(active, snapshots)


def _paint_metadata(owners: Nibbles, usage: Usage, some: Mask, owner: Kind, shift: int) -> None:
    """What structure the clusters hold that metadata claims; two kinds in one cluster are a conflict."""
    import numpy as np

    claims = usage.metadata
    start = claims.start[some] >> shift
    stop = np.minimum((claims.start[some] + claims.length[some] - 1 >> shift) + 1, len(owners))
    for length in np.unique(stop - start).tolist():
        first = start[stop - start == length]
        if length > _SHORT:
            for at in first.tolist():
                for low, high in pieces(at, at + length):
                    owners.put(low, _joined(owners.part(low, high), owner, exact=not shift))
        elif length > 0:
            for low, high in pieces(0, len(first)):
                for step in range(length):
                    units = first[low:high] + step
                    owners.put_at(units, _joined(owners.at(units), owner, exact=not shift))


def _joined(old: Kinds, owner: Kind, *, exact: bool) -> Kinds:
    """The kinds of units that a structure claims, too."""
    import numpy as np

    values = np.maximum(old, np.uint8(owner))
    if exact:
        values[(old != 0) & (old != owner)] = max(type(owner))
    return values
