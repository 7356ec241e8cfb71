"""What the guest clusters of an image are: numbers, and a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.dossier.section import ClusterMap, Field, Section, Table
from qcow2inspect.dossier.values import Nothing, Size
from qcow2inspect.format.mapping import ClusterType, L1Entry, classify_column
from qcow2inspect.image.holes import in_holes
from qcow2inspect.image.image import Image
from qcow2inspect.units import HostOffset

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.dossier.gist import Dossier
    from qcow2inspect.image.chain import AnyImage

__all__ = ["CELLS", "NOT_READ", "UNREADABLE", "allocation_section", "cluster_map", "map_section"]

CELLS = 1024
"""Cells of the figure at most."""

UNREADABLE = "missing or unreadable"
"""What the figure calls clusters whose L2 table or host cluster is not where the entry says."""

NOT_READ = "not checked"
"""What the figure calls clusters of L2 tables that it did not read: there is a limit, so that it never takes long."""

_ORDER = (
    ClusterType.INVALID,
    ClusterType.COMPRESSED,
    ClusterType.NORMAL,
    ClusterType.ZERO_ALLOC,
    ClusterType.ZERO_PLAIN,
    ClusterType.UNALLOCATED,
)
_KINDS = (UNREADABLE, NOT_READ, *(kind.word for kind in _ORDER))
_NUMBERS = (
    "L1 entries in use",
    "L2 tables",
    "guest clusters with a place",
    "of these fragmented",
    "leaked host clusters",
    "corruptions that qemu-img check counts",
    "end of the last host cluster in use",
)
_MOST_TABLES = 1 << 17
_CHUNK = 1 << 18


def allocation_section(image: AnyImage, dossier: Dossier, command: str) -> Section:
    """How many guest clusters of the active state are of which type."""
    columns = (("type", "type"), ("clusters", "clusters"), ("guest_bytes", "guest bytes"), ("share", "share"))
    size = image.geometry.cluster_size if isinstance(image, Image) else image.cluster_size
    counts = dossier.counts or {}
    total = sum(counts.values())
    rows = tuple((word, count, Size(count * size), f"{count / total:.2%}") for word, count in counts.items())
    nothing = Nothing.ABSENT if dossier.surveyed else Nothing.NOT_CHECKED
    table = Table("clusters", "Guest clusters of the active state", columns, rows, nothing=nothing)
    fields = [Field("cluster_size", "cluster size", Size(size))]
    for label in _NUMBERS:
        value = dossier.numbers.get(label)
        said = Nothing.NOT_CHECKED if value is None else HostOffset(value) if label.startswith("end of") else value
        fields.append(Field(label.lower().replace(" ", "_").replace("-", "_"), label, said))
    commands = (f"{command} info IMAGE --json", f"{command} check IMAGE --json", f"{command} map IMAGE")
    return Section("allocation", "Allocation", fields=tuple(fields), tables=(table,), commands=commands)


def map_section(figure: ClusterMap | None, command: str) -> Section:
    """What the figure shows; the figure itself belongs to the report."""
    if figure is None:
        prose: tuple[str, ...] = ("not checked: the tables were not read",)
        fields: tuple[Field, ...] = ()
    else:
        prose = ("Every cell shows the first of these kinds that is in it; the order is that of the legend.",)
        fields = (
            Field("cells", "cells", len(figure.cells)),
            Field("cell_size", "guest bytes of a cell", Size(figure.cell_size)),
        )
    return Section("map", "Map of the guest disk", prose, fields, commands=(f"{command} map IMAGE",))


def cluster_map(image: AnyImage) -> ClusterMap | None:
    """The figure of the active state; None for version 1, and where there are no clusters.

    Raises:
        CannotRead: the image file cannot be read.
    """
    if not isinstance(image, Image):
        return None
    geometry = image.geometry
    clusters = -(-image.header.size // geometry.cluster_size)
    if not clusters or any(obstacle.blocks_reading for obstacle in image.obstacles):
        return None
    per_cell = -(-clusters // CELLS)
    counts = _count(image, clusters, per_cell)
    cells = tuple(tuple(row) for row in counts.tolist())
    return ClusterMap(per_cell * geometry.cluster_size, image.header.size, _KINDS, cells)


def _count(image: Image, clusters: int, per_cell: int) -> npt.NDArray[np.int64]:
    """Clusters by cell and kind; those without an L2 table are unallocated."""
    import numpy as np

    counts = np.zeros((-(-clusters // per_cell), len(_KINDS)), dtype=np.int64)
    counts[:, -1] = per_cell
    counts[-1, -1] = clusters - (len(counts) - 1) * per_cell
    used = _used_tables(image)
    for first, kinds in _tables(image, used[:_MOST_TABLES]):
        part = kinds[: max(0, clusters - first)]
        start, stop = first // per_cell, (first + len(part) - 1) // per_cell + 1
        place = ((first % per_cell + np.arange(len(part))) // per_cell) * len(_KINDS) + part
        found = np.bincount(place, minlength=(stop - start) * len(_KINDS)).reshape(-1, len(_KINDS))
        counts[start:stop] += found
        counts[start:stop, -1] -= found.sum(axis=1)
    entries = image.geometry.l2_entries
    for first in (used[_MOST_TABLES:] * entries).tolist():
        for number in range(first // per_cell, min(first + entries - 1, clusters - 1) // per_cell + 1):
            counts[number, 1] += counts[number, -1]
            counts[number, -1] = 0
    return counts


def _used_tables(image: Image) -> npt.NDArray[np.intp]:
    """Indices of the L1 entries of the active state whose tables can hold something: tables in holes are all zeros."""
    import numpy as np

    stored = max(0, min(len(image.l1), (image.end - image.l1.at) // 8, image.geometry.l1_entries(image.header.size)))
    found = []
    for start in range(0, stored, _CHUNK):
        offsets = image.l1.column(start, min(start + _CHUNK, stored)) & np.uint64(L1Entry.l2_table_offset.mask)
        used = np.flatnonzero(offsets)
        aligned = (offsets[used] & np.uint64(image.geometry.cluster_size - 1)) == 0
        found.append(start + used[~(aligned & in_holes(image, offsets[used]))])
    return np.concatenate(found) if found else np.empty(0, dtype=np.intp)


def _tables(image: Image, used: npt.NDArray[np.intp]) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
    """Number of the first guest cluster of each L2 table, and the kinds of its clusters as positions in the list."""
    import numpy as np

    geometry, end = image.geometry, int(image.end)
    place = np.full(len(ClusterType), 0, dtype=np.intp)
    for number, kind in enumerate(_ORDER, len(_KINDS) - len(_ORDER)):
        place[kind] = number
    for index in used.tolist():
        at = int(image.l1[index].l2_table_offset)
        if at % geometry.cluster_size or at >= end:
            yield index * geometry.l2_entries, np.zeros(geometry.l2_entries, dtype=np.intp)
            continue
        data = image.read(at, geometry.cluster_size)
        raw = np.frombuffer(data, dtype=">u8").astype(np.uint64)[:: geometry.l2_entry_size // 8]
        kinds = classify_column(raw, extended_l2=geometry.extended_l2, data_file=image.has_data_file)
        places = place[kinds]
        if not image.has_data_file:
            host = raw & np.uint64(0x00FF_FFFF_FFFF_FE00)
            lost = ((host & np.uint64(geometry.cluster_size - 1)) != 0) | (host >= np.uint64(end))
            places[(kinds == ClusterType.NORMAL) & lost] = 0
        yield index * geometry.l2_entries, places
