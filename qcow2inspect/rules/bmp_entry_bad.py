"""An entry of the bitmap directory is wrong.

A field of a bitmap has an impossible value: its table is empty, too large, too small for the disk or at an impossible
place, its granularity or its kind is none, it has unknown flags or extra data. The bitmap cannot be used. Guest data
does not depend on it.

What else could explain it: a damaged directory; a kind of bitmap that a newer program made.

QEMU refuses the whole image for it: "Bitmap doesn't satisfy the constraints".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-BMP-ENTRY-BAD", Severity.ERROR, spec="Bitmaps")
