"""The header length is too small for version 3.

A version 3 header has at least 104 bytes. The field says where the header extensions start, so a smaller value makes
header fields be read as extensions, and features may be missed.

What else could explain it: the version field was changed from 2 to 3.

QEMU refuses the image: "qcow2 header too short".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-LENGTH-SHORT", Severity.FATAL)
