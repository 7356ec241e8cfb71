"""Colours: a role for each meaning, and a style for each role on each kind of terminal.

The eight classes keep their distance under every common colour vision deficiency. Without colour a role is an
attribute (bold, underline, reverse), and the glyph says the rest.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from functools import cache

from rich.style import Style
from textual.theme import BUILTIN_THEMES, Theme

from qcow2inspect.tui.glyphs import Glyphs, wants_ascii
from qcow2inspect.tui.palette import DARK, PALETTES, Palette, contrast

__all__ = ["Colors", "Ground", "Look", "themes"]

_TEXT = DARK.text

_ROLES = {
    "text": (_TEXT, "default", ""),
    "strong": ("#ffffff", "bright_white", "bold"),
    "dim": ("#8a929d", "bright_black", "dim"),
    "faint": ("#4a515c", "bright_black", "dim"),
    "title": ("#9fc1ff", "bright_blue", "bold"),
    "key": ("#9fc1ff", "bright_cyan", "bold"),
    "good": ("#3fc58f", "green", "bold"),
    "warn": ("#e69a08", "yellow", "bold"),
    "bad": ("#ff6b57", "bright_red", "bold"),
    "conflict": ("#ff6b57", "bright_red", "bold reverse"),
    "note": ("#9fc1ff", "bright_blue", ""),
    "file": (_TEXT, "default", "bold"),
    "header": ("#fefc22", "bright_yellow", "bold"),
    "extension": ("#d8c930", "yellow", "bold"),
    "snapshot": ("#fefc22", "bright_yellow", "bold"),
    "l1": ("#4f97ff", "bright_blue", "underline"),
    "l2": ("#4f97ff", "bright_blue", "underline"),
    "refcount": ("#b57acb", "magenta", "italic"),
    "bitmap": ("#e69a08", "yellow", ""),
    "luks": ("#e69a08", "yellow", "bold"),
    "data": ("#01b271", "green", ""),
    "normal": ("#01b271", "green", ""),
    "compressed": ("#abece5", "bright_cyan", "bold"),
    "encrypted": ("#e69a08", "yellow", "bold"),
    "shared": ("#e69a08", "yellow", "underline"),
    "subclusters": ("#01b271", "green", "italic"),
    "zero-plain": ("#8a929d", "bright_black", "dim"),
    "zero-alloc": ("#8a929d", "bright_black", "dim"),
    "unallocated": ("#6e757f", "bright_black", "dim"),
    "free": ("#6e757f", "bright_black", "dim"),
    "free-cell": ("#2a2f38", "bright_black", "dim"),
    "leaked": ("#c1511d", "red", "bold"),
    "invalid": ("#ff6b57", "bright_red", "bold reverse"),
}
_SAME = {
    "yes": "good",
    "no": "bad",
    "fatal": "bad",
    "error": "bad",
    "warning": "warn",
    "info": "dim",
    "unknown": "dim",
    "leak": "bad",
    "count-1": "data",
    "count-2": "l2",
    "count-3": "refcount",
    "count-4": "compressed",
    "count-16": "header",
    "use-file": "refcount",
    "use-several": "l2",
    "elsewhere": "refcount",
    "untold": "zero-plain",
    "unread": "free",
    "bits-1": "refcount",
    "bits-4": "l2",
    "bits-6": "data",
    "bits-7": "compressed",
    "bits-8": "header",
}

# How far each shade goes from the base colour: to white for stored bytes, to the background for zero bytes.
_SHADES = (0.15, 0.55, -0.40, -0.22)
_STEPS = 8


class Colors(Enum):
    """What a terminal can show."""

    TRUE = "true"
    ANSI = "ansi"
    NONE = "none"

    @classmethod
    def of_terminal(cls) -> Colors:
        """What the environment says: ``NO_COLOR``, ``COLORTERM``, ``TERM``."""
        if os.environ.get("NO_COLOR"):
            return cls.NONE
        term = os.environ.get("TERM", "")
        rich_terminal = "256" in term or "direct" in term or bool(os.environ.get("COLORTERM"))
        return cls.TRUE if rich_terminal or term in ("", "xterm-kitty", "alacritty", "foot") else cls.ANSI


class Ground(Enum):
    """What lies behind a text."""

    PLAIN = "plain"
    SELECTED = "selected"
    """The range of the node under the cursor, the current row of a list without focus."""
    MARKED = "marked"
    """Bytes that a finding names."""
    ROW = "row"
    """The row that keys act on."""
    CURSOR = "cursor"
    """The byte that keys act on."""


# What is on twice is off: the cursor on reversed bytes must still be seen.
_GROUND_ANSI = {
    Ground.PLAIN: "",
    Ground.SELECTED: "underline",
    Ground.MARKED: "underline",
    Ground.ROW: "reverse",
    Ground.CURSOR: "reverse",
}


@cache
def _mixed(color: str, other: str, part: float) -> str:
    pairs = zip(bytes.fromhex(color[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + bytes(round(a + (b - a) * part) for a, b in pairs).hex()


def _shaded(palette: Palette, color: str, shade: int | None, ground: Ground) -> str:
    if shade is None:
        return color
    part = _SHADES[shade]
    return _mixed(color, palette.strong, part) if part > 0 else _faded(palette, color, -part, ground)


def _faded(palette: Palette, color: str, part: float, ground: Ground) -> str:
    """``color`` nearer to the background, as far as it can still be read; what keys act on stays as it is."""
    behind = palette.grounds[ground.value]
    steps = [part * step / _STEPS for step in range(_STEPS, 0, -1)] if ground is not Ground.CURSOR else []
    faded = (_mixed(color, palette.background, step) for step in steps)
    return next((found for found in faded if contrast(found, behind) >= palette.readable), color)


def _lit(palette: Palette, color: str, ground: Ground) -> str:
    """``color`` as bright, or as dark, as the ground asks for."""
    return _mixed(color, palette.strong, {Ground.ROW: 0.5, Ground.CURSOR: 0.8}.get(ground, 0.0))


@cache
def _style(colors: Colors, palette: Palette, role: str, ground: Ground, shade: int | None) -> Style:
    role = _SAME.get(role, role) if _SAME.get(role, role) in _ROLES else "text"
    color, ansi, attributes = _ROLES[role]
    if colors is Colors.TRUE:
        color = _lit(palette, palette.color(role, color), ground)
        bold = "bold " if "bold" in attributes and shade is None else ""
        return Style.parse(f"{bold}{_shaded(palette, color, shade, ground)} on {palette.grounds[ground.value]}")
    zero = shade is not None and shade >= 2
    words = {*("dim" if zero else attributes).split()} ^ {*_GROUND_ANSI[ground].split()}
    attributes = " ".join(sorted(words))
    if colors is Colors.ANSI:
        return Style.parse(f"{attributes} {ansi} on default")
    return Style.parse(f"{attributes} default on default")


@dataclass
class Look:
    """How this terminal shows things; all widgets share one.

    Attributes:
        colors: what the terminal can show.
        glyphs: its signs.
        palette: its colours where it can show any; another one is another theme.
    """

    colors: Colors
    glyphs: Glyphs
    palette: Palette = DARK

    @classmethod
    def of_terminal(cls, palette: Palette = DARK) -> Look:
        """The look that the environment asks for."""
        return cls(Colors.of_terminal(), Glyphs(ascii_only=wants_ascii()), palette)

    def next_palette(self) -> Palette:
        """Take the next of all themes."""
        found = list(PALETTES.values())
        self.palette = found[(found.index(self.palette) + 1) % len(found)]
        return self.palette

    def style(self, role: str, ground: Ground = Ground.PLAIN, shade: int | None = None) -> Style:
        """The style of a role: always with a background, never empty.

        Args:
            role: kind, state or meaning; an unknown one looks like text.
            ground: what lies behind.
            shade: 0 and 1 for neighbouring fields, 2 and 3 for their zero bytes; None for plain text.
        """
        return _style(self.colors, self.palette, role, ground, shade)

    @property
    def ground(self) -> str:
        """The colour behind everything."""
        return self.palette.background if self.colors is Colors.TRUE else "default"

    def solid(self, role: str) -> str:
        """The colour of a role where it fills a cell."""
        color, ansi, _ = _ROLES[_SAME.get(role, role)]
        return self.palette.fill(_SAME.get(role, role), color) if self.colors is Colors.TRUE else ansi

    def cell(self, role: str) -> str:
        """The colour of a role as a cell of a map: what is free stays in the background."""
        return self.solid("free-cell" if role in ("free", "unallocated", "unread") else role)

    @property
    def cursor(self) -> str:
        """What fills a cell that keys act on."""
        return self.palette.strong if self.colors is Colors.TRUE else "bright_white"

    def bar(self, role: str) -> str:
        """The colour of a bar on a cell of a map."""
        if self.colors is not Colors.TRUE:
            return self.cursor
        cell = self.cell(role)
        return max(self.palette.strong, self.palette.background, key=lambda color: contrast(color, cell))

    def on(self, style: Style, ground: Ground) -> Style:
        """``style`` with another ground behind it."""
        return _grounded(self.colors, self.palette, style, ground)


@cache
def _grounded(colors: Colors, palette: Palette, style: Style, ground: Ground) -> Style:
    if colors is Colors.TRUE:
        color = style.color.triplet.hex if style.color and style.color.triplet else palette.text
        return style + Style(color=_lit(palette, color, ground), bgcolor=palette.grounds[ground.value])
    return style + Style.parse(_GROUND_ANSI[ground])


def themes(palette: Palette = DARK) -> dict[Colors, Theme]:
    """The Textual theme for each kind of terminal: what borders, inputs and dialogs are drawn in."""

    def color(role: str) -> str:
        return palette.color(role, _ROLES[role][0])

    true = Theme(
        name=f"qcow2inspect-{palette.name}",
        primary=palette.focus,
        secondary=palette.fill("refcount", color("refcount")),
        accent=palette.focus,
        warning=color("warn"),
        error=color("bad"),
        success=color("good"),
        foreground=palette.text,
        background=palette.background,
        surface=palette.panel,
        panel=palette.panel,
        boost=palette.grounds["selected"],
        dark=palette.is_dark,
        variables={
            "edge": palette.edge,
            "field": palette.grounds["selected"],
            "hint": color("dim"),
            "block-cursor-blurred-background": palette.grounds["row"],
            "block-cursor-blurred-foreground": palette.text,
            "scrollbar": palette.edge,
            "edge-focus": palette.focus,
            "edge-bad": color("bad"),
            "input-cursor-background": palette.text,
            "input-cursor-foreground": palette.background,
            "input-selection-background": palette.selection,
        },
    )
    return {Colors.TRUE: true, Colors.ANSI: _ansi_theme("bright_black", "bright_blue"), Colors.NONE: _ansi_theme()}


def _ansi_theme(edge: str = "default", focus: str = "default") -> Theme:
    plain = edge == "default"
    return Theme(
        name="qcow2inspect-mono" if plain else "qcow2inspect-ansi",
        ansi=True,
        primary="ansi_blue",
        secondary="ansi_magenta",
        accent="ansi_cyan",
        warning="ansi_yellow",
        error="ansi_bright_red",
        success="ansi_green",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        variables={
            **BUILTIN_THEMES["ansi-dark"].variables,
            "edge": f"ansi_{edge}",
            "field": "ansi_default",
            "hint": "ansi_default" if plain else "ansi_bright_black",
            "edge-focus": f"ansi_{focus}",
            "edge-bad": "ansi_default" if plain else "ansi_bright_red",
            "input-cursor-background": "ansi_black",
            "input-cursor-foreground": "ansi_bright_white",
            "input-cursor-text-style": "reverse",
        },
    )
