"""Refcounts may be updated late.

The compatible feature bit for lazy refcounts is set: a program that writes to the image may leave refcounts behind and
set the dirty bit meanwhile. If the dirty bit is clear, the refcounts are meant to be right.

What else could explain it: nothing; the option lazy_refcounts was given when the image was made or later.

QEMU keeps refcounts in memory while such an image is open for writing, and repairs them after a crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    if not image.header.compatible_features.lazy_refcounts:
        return None
    return "lazy refcounts are on: while the image is open for writing its refcounts may be behind"


RULE = header_rule(__name__, "QCOW-HDR-LAZY", Severity.INFO, Category.FORENSIC, field="compatible_features", says=_says)
