"""Lines of styled text, cut and filled to exact widths."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, TypeAlias

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from qcow2inspect.layout.structure import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FRAMED", "Line", "columns", "line_width", "strip", "wrapped"]

FRAMED = 116
"""Cells of a screen's width from which on panes have frames."""

Line: TypeAlias = list[tuple[str, Style]]
"""Pieces of text, each with its style, from left to right."""


def strip(line: Iterable[tuple[str, Style]], width: int, fill: Style) -> Strip:
    """``line`` as a strip of exactly ``width`` cells; nothing in it can steer the terminal."""
    made = Strip([Segment(text if text.isprintable() else visible(text), style) for text, style in line if text])
    return made.crop_extend(0, max(0, width), fill)


def line_width(line: Iterable[tuple[str, Style]]) -> int:
    """Cells that ``line`` takes."""
    return sum(cell_len(text) for text, _ in line)


def columns(left: Line, right: Line, width: int, fill: Style) -> Line:
    """``left`` at the left, ``right`` at the right end of ``width`` cells; ``left`` gives way."""
    room = width - line_width(right)
    if room <= 0:
        return right
    kept = [(segment.text, segment.style or fill) for segment in strip(left, room, fill)]
    return [*kept, *right]


def wrapped(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` cells."""
    wide = cell_len(text)
    if wide > len(text):
        width = max(1, width * len(text) // wide)
    return textwrap.wrap(text, max(1, width)) or [""]
