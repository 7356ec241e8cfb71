"""The backing file format name is too long.

The header extension that names the format of the backing file is longer than any format name is. How to read the
backing file is uncertain; this image itself can be read.

What else could explain it: a damaged length; the name may be whole and something else follow it.

QEMU refuses the image: "ext_backing_format: len=16 too large (>=16)", even if the image has no backing file.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-BACK-FMT-LONG", Severity.ERROR, spec="Header extensions")
