"""The colours of the themes: dark, light and high contrast.

In each the eight classes of the map keep their distance for every eye, and stand out from the ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DARK", "PALETTES", "Palette"]


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
    is_dark: bool = True

    def color(self, role: str, dark: str) -> str:
        """The colour of a meaning, whose colour in the dark theme is given."""
        return self.roles.get(role, dark)

    def fill(self, role: str, dark: str) -> str:
        """The same where it fills a cell."""
        return self.fills.get(role, self.color(role, dark))


def _grounds(plain: str, selected: str, marked: str, row: str, cursor: str) -> Mapping[str, str]:
    return MappingProxyType({"plain": plain, "selected": selected, "marked": marked, "row": row, "cursor": cursor})


def _roles(**groups: str) -> Mapping[str, str]:
    """Colours of groups of meanings, written as ``group="#colour"``."""
    return MappingProxyType({role: color for group, color in groups.items() for role in _GROUPS[group]})


_GROUPS = {
    "plain": ("text", "file"),
    "strong": ("strong",),
    "dim": ("dim", "zero-plain", "zero-alloc"),
    "faint": ("faint",),
    "title": ("title", "key", "note"),
    "good": ("good",),
    "bad": ("bad", "conflict", "invalid"),
    "header": ("header", "snapshot", "extension"),
    "table": ("l1", "l2"),
    "refcount": ("refcount",),
    "kept": ("warn", "bitmap", "luks", "encrypted", "shared"),
    "data": ("data", "normal", "subclusters"),
    "compressed": ("compressed",),
    "unused": ("unallocated", "free"),
    "free": ("free-cell",),
    "leaked": ("leaked",),
}

DARK = Palette(
    name="dark",
    background="#0f1115",
    text="#d3d7de",
    strong="#ffffff",
    panel="#151922",
    edge="#343b47",
    focus="#5b9dff",
    selection="#2f5eaa",
    grounds=_grounds("#0f1115", "#1f2c42", "#4a2030", "#24406b", "#3a6fc4"),
    roles=MappingProxyType({}),
    fills=MappingProxyType(
        {"l1": "#016cfb", "l2": "#016cfb", "refcount": "#9e57b6", "zero-plain": "#6a717c", "zero-alloc": "#016cfb"}
    ),
)

_LIGHT = Palette(
    name="light",
    background="#ffffff",
    text="#1f2430",
    strong="#000000",
    panel="#f3f5f8",
    edge="#b4bcc8",
    focus="#053fd7",
    selection="#9cc0ff",
    grounds=_grounds("#ffffff", "#e4ecfb", "#fde0e0", "#c9dcff", "#8fb8ff"),
    roles=_roles(
        plain="#1f2430",
        strong="#000000",
        dim="#5b6470",
        faint="#8a929d",
        title="#1b4fa8",
        good="#017a4e",
        bad="#b3261e",
        header="#4c4600",
        table="#053fd7",
        refcount="#8e42af",
        kept="#8a5800",
        data="#003622",
        compressed="#006f76",
        unused="#6b7480",
        free="#d5dae0",
        leaked="#b03a38",
    ),
    fills=MappingProxyType(
        {
            "shared": "#b47200",
            "zero-plain": "#f0cc90",
            "zero-alloc": "#053fd7",
            "compressed": "#028f97",
            "leaked": "#d75755",
        }
    ),
    is_dark=False,
)

_HIGH = Palette(
    name="high-contrast",
    background="#000000",
    text="#ffffff",
    strong="#ffffff",
    panel="#000000",
    edge="#b0b0b0",
    focus="#ffff00",
    selection="#0050d0",
    grounds=_grounds("#000000", "#1c3050", "#5c0020", "#003c96", "#0050d0"),
    roles=_roles(
        plain="#ffffff",
        strong="#ffffff",
        dim="#d0d0d0",
        faint="#a8a8a8",
        title="#a8d0ff",
        good="#00e090",
        bad="#ff8070",
        header="#fffd24",
        table="#6cb0ff",
        refcount="#f7a4ff",
        kept="#ffb020",
        data="#00d486",
        compressed="#bff7ef",
        unused="#b8b8b8",
        free="#3b3b3c",
        leaked="#ff7060",
    ),
    fills=MappingProxyType(
        {
            "l1": "#2d88f9",
            "l2": "#2d88f9",
            "shared": "#e79b00",
            "zero-plain": "#8a8f96",
            "zero-alloc": "#2d88f9",
            "leaked": "#f25044",
        }
    ),
)

PALETTES = {palette.name: palette for palette in (DARK, _LIGHT, _HIGH)}
"""Every theme by its name, in the order in which the key changes them."""
