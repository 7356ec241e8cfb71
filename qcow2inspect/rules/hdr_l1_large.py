"""The L1 table is too large.

QEMU allows 4,194,304 entries (32 MiB). A larger table is no honest image, or the field is damaged; a program that
believes it may exhaust its memory.

What else could explain it: a damaged header field; the size of the disk says how many entries are needed.

QEMU refuses the image: "Active L1 table too large".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-L1-LARGE", Severity.ERROR, spec="L1 table")
