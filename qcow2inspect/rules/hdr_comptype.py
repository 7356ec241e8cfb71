"""The compression type is unknown.

The specification has 0 (zlib) and 1 (zstd). Compressed clusters cannot be read without the right one; the others can.

What else could explain it: a newer program wrote the image, or byte 104 was damaged: the first bytes of a compressed
cluster tell zstd (28 b5 2f fd) from deflate.

QEMU refuses the image: "unknown compression type".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-COMPTYPE", Severity.FATAL, spec="Additional fields")
