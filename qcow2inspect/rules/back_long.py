"""The backing file name is too long.

The name has at most 1023 bytes and must end inside the first cluster. A longer one is cut off or runs into other
structures.

What else could explain it: the length field was damaged; the name itself may be whole.

QEMU refuses the image: "Backing file name too long".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-BACK-LONG", Severity.ERROR)
