"""The L1 table is too small for the disk.

The disk needs more L1 entries than the table has. Where the end of the disk lies, or whether it exists, cannot be told.

What else could explain it: the size field was raised, or l1_size was damaged.

QEMU refuses the image: "L1 table is too small".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-L1-SMALL", Severity.ERROR, spec="L1 table")
