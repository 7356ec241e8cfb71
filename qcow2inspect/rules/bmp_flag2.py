"""A bitmap has the flag extra_data_compatible.

The specification has this flag for bitmaps with extra data that a reader may ignore. No program is known to set it; it
is legal, so that bitmap and image are as they should be.

What else could explain it: a newer program; a damaged flags field.

QEMU 7.2 does not know the flag and refuses the whole image for it: "Bitmap doesn't satisfy the constraints".
"""

from __future__ import annotations

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-BMP-FLAG2", Severity.NOTE, spec="Bitmaps", category=Category.FORENSIC)
