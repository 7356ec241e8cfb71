"""The bitmaps extension is wrong.

The header extension that says where the bitmap directory lies has the wrong length, an impossible count or size, a
reserved field that is not zero, or an offset that is no multiple of the cluster size. Guest data does not depend on
bitmaps.

What else could explain it: a damaged header extension; a newer version of it.

QEMU refuses the whole image for it, with words such as "bitmaps_ext: invalid bitmap directory offset".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-BMP-EXT-BAD", Severity.ERROR, spec="Bitmaps")
