"""The encryption method is unknown.

The specification has 0 (none), 1 (AES) and 2 (LUKS). Whether and how guest data is encrypted cannot be told.

What else could explain it: a damaged header field, or a newer program.

QEMU refuses the image: "Unsupported encryption method".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-CRYPT", Severity.FATAL)
