"""An L1 entry points past the end of the file.

The L2 table that the entry means is not in the file, or only its beginning is. What is missing reads as zeros, which
means unallocated: guest data disappears without an error.

What else could explain it: the image file was cut off, for example by an unfinished copy or a full disk.

QEMU reads zeros; qemu-img check counts a corruption.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-L1-EOF",
    Severity.ERROR,
    odd=Odd.L1_EOF,
    says="{count} L1 entr{ies} pointing to L2 tables that the file does not hold whole: they read as zeros",
    spec="L1 table",
)
