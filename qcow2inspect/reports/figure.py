"""The map of the guest disk as a picture in SVG."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from qcow2inspect.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.dossier.section import ClusterMap

__all__ = ["COLOURS", "map_figure"]

_COLUMNS = 64
_CELL = 14
_MARGIN = 96

COLOURS = {
    "missing or unreadable": "#b3261e",
    "not checked": "#9aa3ad",
    "invalid": "#e8590c",
    "compressed": "#8456b8",
    "normal": "#2b6cb0",
    "zero-alloc": "#e0a43a",
    "zero-plain": "#f6e3b4",
    "unallocated": "#eceff3",
}
"""Kind of cluster -> colour; they differ in lightness too, for paper and for colour-blind eyes."""


def map_figure(figure: ClusterMap) -> Iterator[str]:
    """The picture with its legend; neighbouring cells of a row that are alike are one rectangle."""
    rows = -(-len(figure.cells) // _COLUMNS)
    width, height = _MARGIN + _COLUMNS * _CELL, rows * _CELL
    yield f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="map of the guest disk">'
    for row in range(rows):
        yield from _row(figure, row)
    yield '</svg><figcaption class="legend">'
    used = {figure.kind(cell) for cell in range(len(figure.cells))}
    for kind in figure.kinds:
        if kind in used:
            yield f'<span><i style="background:{COLOURS[kind]}"></i>{kind}</span>'
    yield f"<span>one cell: {human_size(figure.cell_size)}</span></figcaption></figure>"


def _row(figure: ClusterMap, row: int) -> Iterator[str]:
    first, top = row * _COLUMNS, row * _CELL
    label = f"{first * figure.cell_size:#x}"
    style = 'font-family="monospace" font-size="10" fill="#5b6675" text-anchor="end"'
    yield f'<text x="{_MARGIN - 8}" y="{top + _CELL - 4}" {style}>{label}</text>'
    cells = range(first, min(first + _COLUMNS, len(figure.cells)))
    for kind, group in itertools.groupby(cells, key=figure.kind):
        alike = list(group)
        start, end = alike[0] * figure.cell_size, min((alike[-1] + 1) * figure.cell_size, figure.size)
        left, wide = _MARGIN + (alike[0] - first) * _CELL, len(alike) * _CELL
        place = f'x="{left + 0.5}" y="{top + 0.5}" width="{wide - 1}" height="{_CELL - 1}"'
        yield f'<rect {place} fill="{COLOURS[kind]}"><title>guest {start:#x}..{end:#x}: {kind}</title></rect>'
