"""The colours of the themes: dark, light and high contrast.

In each the eight classes of the map keep their distance for every eye, and stand out from the ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DARK", "PALETTES", "Palette", "contrast"]


@dataclass(frozen=True, eq=False)
class Palette:
    """The colours of one theme.

    Attributes:
        name: what ``--theme`` calls it.
        background: behind everything.
        text: what plain text is written in.
        strong: what stands out most from the background; lighter and darker mean towards it and away.
        panel: behind dialogs.
        edge: frames.
        focus: frames of what keys act on.
        selection: behind selected text in an input.
        grounds: what lies behind text, by the name of the ground.
        roles: colours of meanings, where they are not those of the dark theme.
        fills: colours of meanings where they fill a cell and need not be read as text.
        readable: contrast that text has to keep, however faint it is meant.
        is_dark: True if the background is darker than the text.
    """

    name: str
    background: str
    text: str
    strong: str
    panel: str
    edge: str
    focus: str
    selection: str
    grounds: Mapping[str, str]
    roles: Mapping[str, str]
    fills: Mapping[str, str]
    readable: float = 0.0
    is_dark: bool = True

    def color(self, role: str, dark: str) -> str:
        """The colour of a meaning, whose colour in the dark theme is given."""
        return self.roles.get(role, dark)

    def fill(self, role: str, dark: str) -> str:
        """The same where it fills a cell."""
        return self.fills.get(role, self.color(role, dark))


def contrast(one: str, other: str) -> float:
    """How much two colours differ in lightness: 1 for not at all, 21 for black and white; as WCAG has it."""
    low, high = sorted((_lightness(one), _lightness(other)))
    return (high + 0.05) / (low + 0.05)


def _lightness(color: str) -> float:
    parts = (byte / 255 for byte in bytes.fromhex(color[1:]))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


_Row = tuple[str, str, str]
"""A colour in the dark theme, in the light one, in high contrast; empty where the theme has none of its own for it."""

_NAMES: _Row = ("dark", "light", "high-contrast")
_READABLE = (0.0, 4.5, 4.5)
_SURFACES: dict[str, _Row] = {
    "background": ("#0f1115", "#ffffff", "#000000"),
    "text": ("#d3d7de", "#1f2430", "#ffffff"),
    "strong": ("#ffffff", "#000000", "#ffffff"),
    "panel": ("#151922", "#f3f5f8", "#000000"),
    "edge": ("#343b47", "#8a93a1", "#b0b0b0"),
    "focus": ("#5b9dff", "#053fd7", "#ffff00"),
    "selection": ("#2f5eaa", "#9cc0ff", "#0050d0"),
}
_GROUNDS: dict[str, _Row] = {
    "plain": ("#0f1115", "#ffffff", "#000000"),
    "selected": ("#1f2c42", "#e4ecfb", "#1c3050"),
    "marked": ("#4a2030", "#fde0e0", "#5c0020"),
    "row": ("#24406b", "#c9dcff", "#003c96"),
    "cursor": ("#3a6fc4", "#8fb8ff", "#0050d0"),
}
_ROLES: dict[str, _Row] = {
    "text file": ("", "#1f2430", "#ffffff"),
    "strong": ("", "#000000", "#ffffff"),
    "dim zero-plain zero-alloc": ("", "#5b6470", "#d0d0d0"),
    "faint": ("", "#6b7480", "#a8a8a8"),
    "title key note": ("", "#1b4fa8", "#a8d0ff"),
    "good": ("", "#017a4e", "#00e090"),
    "bad conflict invalid": ("", "#b3261e", "#ff8070"),
    "header snapshot extension": ("", "#4c4600", "#fffd24"),
    "l1 l2": ("", "#053fd7", "#6cb0ff"),
    "refcount": ("", "#8e42af", "#f7a4ff"),
    "warn bitmap luks encrypted shared": ("", "#8a5800", "#ffb020"),
    "data normal subclusters": ("", "#003622", "#00d486"),
    "compressed": ("", "#006f76", "#bff7ef"),
    "unallocated free": ("", "#646d79", "#b8b8b8"),
    "free-cell": ("", "#d5dae0", "#3b3b3c"),
    "leaked": ("", "#b03a38", "#ff7060"),
}
_FILLS: dict[str, _Row] = {
    "l1 l2": ("#016cfb", "", "#2d88f9"),
    "refcount": ("#9e57b6", "", ""),
    "shared": ("", "#b47200", "#e79b00"),
    "zero-plain": ("#6a717c", "#f0cc90", "#8a8f96"),
    "zero-alloc": ("#016cfb", "#053fd7", "#2d88f9"),
    "compressed": ("", "#028f97", ""),
    "leaked": ("", "#d75755", "#f25044"),
}


def _column(table: Mapping[str, _Row], theme: int) -> Mapping[str, str]:
    """One theme of a table: each name of a row -> its colour."""
    colors = ((name, row[theme]) for names, row in table.items() for name in names.split())
    return MappingProxyType({name: color for name, color in colors if color})


def _palette(theme: int) -> Palette:
    return Palette(
        name=_NAMES[theme],
        **_column(_SURFACES, theme),
        grounds=_column(_GROUNDS, theme),
        roles=_column(_ROLES, theme),
        fills=_column(_FILLS, theme),
        readable=_READABLE[theme],
        is_dark=_NAMES[theme] != "light",
    )


PALETTES = {name: _palette(theme) for theme, name in enumerate(_NAMES)}
"""Every theme by its name, in the order in which the key changes them."""
DARK = PALETTES["dark"]
