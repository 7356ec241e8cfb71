"""The disk size is impossible.

The size is beyond 2^63 - 1 bytes, more than any file or device can have.

What else could explain it: a damaged header field; the number of L1 entries bounds the true size.

QEMU refuses the image: "File too large" or "Image is too big".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-SIZE-HUGE", Severity.ERROR)
