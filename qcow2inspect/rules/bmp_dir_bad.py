"""The bitmap directory cannot be read whole.

The entries of the bitmap directory do not fill it exactly, or are more or fewer than the header extension counts. Some
bitmaps cannot be listed. Guest data does not depend on bitmaps.

What else could explain it: the file was cut off; a damaged entry, so that the next one is looked for at the wrong
place.

QEMU refuses the whole image for it: "Broken bitmap directory", "Less bitmaps found than specified".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-BMP-DIR-BAD", Severity.ERROR, spec="Bitmaps")
