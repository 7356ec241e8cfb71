"""The corrupt bit is set.

A program that writes images sets this bit when it is about to overwrite metadata, and stops. The bit says that a
metadata structure is wrong, not which; most often a refcount is too low. The mapping may still be whole.

What else could explain it: nothing usual; the bit is never set in normal use.

QEMU opens the image read-only; qemu-img check -r all clears the bit when nothing is left to repair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    if not image.header.incompatible_features.corrupt:
        return None
    return "the corrupt bit is set: a program stopped writing because it found the metadata inconsistent"


RULE = header_rule(
    __name__, "QCOW-HDR-CORRUPT", Severity.ERROR, Category.CORRUPTION, field="incompatible_features", says=_says
)
