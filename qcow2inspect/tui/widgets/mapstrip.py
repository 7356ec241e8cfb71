"""How the strip beside the bytes looks: half blocks in two colours, or signs; the part in sight is marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from rich.style import Style

from qcow2inspect.tui.theme import Colors, Ground

if TYPE_CHECKING:
    from qcow2inspect.tui.strip import Strip
    from qcow2inspect.tui.theme import Look

__all__ = ["Cell", "cells_of"]

Cell: TypeAlias = tuple[tuple[str, Style], tuple[str, Style]]
"""One line of the strip: as it is, and as it is while its part of the file is in sight."""

_HALF = "▀"


def cells_of(strip: Strip, height: int, look: Look) -> list[Cell]:
    """The whole strip in ``height`` lines; worked out once, whatever moves."""
    if look.colors is Colors.NONE or look.glyphs.ascii_only:
        return [_sign(strip.role(line, height), look) for line in range(height)]
    return [_blocks(strip, line, height, look) for line in range(height)]


def _sign(role: str, look: Look) -> Cell:
    sign = look.glyphs[role]
    return (sign, look.style(role)), (sign, look.style(role, Ground.CURSOR))


def _blocks(strip: Strip, line: int, height: int, look: Look) -> Cell:
    """Two cells in a line; where it is in sight, a bar at the right, and the worse of both at the left."""
    above, below = (look.cell(strip.role(2 * line + half, 2 * height)) for half in (0, 1))
    text = " " if above == below else _HALF
    role = strip.role(line, height)
    bar = (look.glyphs["thumb"], Style(color=look.bar(role), bgcolor=look.cell(role)))
    return (text, Style(color=above, bgcolor=below)), bar
