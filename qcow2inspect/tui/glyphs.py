"""One sign for each kind and state, so that no meaning hangs on colour alone.

The signs are drawn by every common terminal font; where the terminal is not UTF-8, or is the Linux console, each
has an ASCII twin.
"""

from __future__ import annotations

import codecs
import locale
import os
import sys

from qcow2inspect.layout.structure import visible

__all__ = ["PLAIN", "Glyphs", "wants_ascii"]

_SIGNS = {
    # what a range belongs to
    "file": ("▤", "F"),
    "header": ("H", "H"),
    "extension": ("E", "E"),
    "l1": ("1", "1"),
    "l2": ("2", "2"),
    "refcount": ("R", "R"),
    "snapshot": ("S", "S"),
    "bitmap": ("B", "B"),
    "luks": ("K", "K"),
    "data": ("█", "#"),
    "free": ("·", "."),
    # what an entry says
    "normal": ("█", "#"),
    "compressed": ("▒", "%"),
    "encrypted": ("▓", "*"),
    "zero-plain": ("○", "0"),
    "zero-alloc": ("◌", "o"),
    "unallocated": ("·", "."),
    "shared": ("◈", "&"),
    "subclusters": ("▞", "/"),
    "leaked": ("!", "!"),
    "invalid": ("✗", "X"),
    # how often a cluster is counted, and who needs it
    "count-1": ("1", "1"),
    "count-2": ("2", "2"),
    "count-3": ("3", "3"),
    "count-4": ("4", "4"),
    "count-16": ("+", "+"),
    "use-file": ("M", "M"),
    "use-several": ("2", "2"),
    "elsewhere": ("▤", "F"),
    "untold": ("?", "?"),
    # how much bytes differ: about so many bits
    "unread": ("·", "."),
    "bits-1": ("1", "1"),
    "bits-4": ("4", "4"),
    "bits-6": ("6", "6"),
    "bits-7": ("7", "7"),
    "bits-8": ("8", "8"),
    # findings and checks
    "fatal": ("✗", "X"),
    "error": ("✗", "X"),
    "warning": ("▲", "!"),
    "note": ("●", "*"),
    "info": ("·", "-"),
    "yes": ("✓", "+"),
    "no": ("✗", "X"),
    "unknown": ("?", "?"),
    # furniture
    "crumb": ("▸", ">"),
    "closed": ("▸", "+"),
    "open": ("▾", "-"),
    "points": ("→", "->"),
    "wall": ("│", "|"),
    "sealed": ("■", "#"),
    "thumb": ("▐", "#"),
    "track": (" ", "|"),
    "full": ("█", "#"),
    "empty": ("─", "-"),
    "bar": ("━", "="),
    "more": ("…", "..."),
    "branch": ("├", "|"),
    "last": ("└", "`"),
    "nonprint": ("·", "."),
    "differs": ("≠", "!="),
    "unlike": ("≠", "!"),
    "only-a": ("−", "-"),
    "only-b": ("+", "+"),
    "missing": ("~", "~"),
    "dot": ("·", "-"),
    "enter": ("↵", "Enter"),
    "choice": ("▶", ">"),
    "up": ("↑", "Up"),
    "down": ("↓", "Down"),
    "left": ("←", "Left"),
    "right": ("→", "Right"),
}

PLAIN = str.maketrans(
    {
        "→": ">",
        "←": "<",
        "⇄": "=",
        "·": "-",
        "…": "...",
        "‥": "..",
        "“": '"',
        "”": '"',
        "’": "'",
        "÷": "/",
        "×": "x",
        "≠": "!",
        "▸": ">",
        "├": "|",
        "└": "`",
        "–": "-",
        "—": "-",
    }
)
"""What stands for a character in ASCII, in as few cells as can be; for :meth:`str.translate`."""


class Glyphs:
    """The signs of one terminal.

    Args:
        ascii_only: use the ASCII twins.
    """

    def __init__(self, *, ascii_only: bool = False) -> None:
        self.ascii_only = ascii_only
        self._signs = {name: pair[ascii_only] for name, pair in _SIGNS.items()}

    def __getitem__(self, name: str) -> str:
        """The sign of a kind, state or piece of furniture; one blank for a name that has none."""
        return self._signs.get(name, " ")

    def has(self, name: str) -> bool:
        """True if ``name`` has a sign of its own."""
        return name in self._signs

    def text(self, text: str) -> str:
        """``text`` as this terminal can show it; what could steer the terminal is escaped."""
        text = visible(text)
        if text.isascii():
            return text
        text = text.replace("‥", "–")  # few terminal fonts have the two dots
        if not self.ascii_only:
            return text
        return text.translate(PLAIN).encode("ascii", "backslashreplace").decode("ascii")


def wants_ascii() -> bool:
    """True if the terminal shows ASCII only: its encoding is not UTF-8, or it is the Linux console."""
    if os.environ.get("TERM") == "linux":
        return True
    encoding = getattr(sys.__stdout__, "encoding", None) or locale.getpreferredencoding(do_setlocale=False)
    try:
        return codecs.lookup(encoding).name != "utf-8"
    except LookupError:
        return True
