"""A bitmap table is wrong.

An entry of a bitmap table has reserved bits set, points to no multiple of the cluster size, or has an offset although
it says that all its bits are one. What the bitmap says about that part of the disk is lost. Guest data does not depend
on it.

What else could explain it: an overwritten table, a damaged offset of the table.

QEMU refuses the whole image for it: "Could not read bitmap_table table from image".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-BMP-TABLE-BAD", Severity.ERROR, spec="Bitmaps")
