"""A header extension runs past its area.

The length of a header extension leads past the backing file name or past the first cluster. Nothing behind it can be
read: backing format, data file name, encryption header and bitmaps may be missing.

What else could explain it: a damaged length; a header length that is wrong, so that other bytes are read as an
extension; an end marker with a length, or with less than 8 bytes of room.

QEMU refuses the image: "Header extension too large".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-EXT-OVERRUN", Severity.ERROR, spec="Header extensions")
