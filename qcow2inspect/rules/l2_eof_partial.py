"""A cluster lies partly past the end of the file.

The file ends inside the last cluster that an L2 entry leads to. What is missing of it reads as zeros. Programs that
write no more than they have to leave their last cluster so; then nothing is lost.

What else could explain it: a file that was cut off, for example by an unfinished copy. Then what the guest had in the
missing bytes is gone, and more pointers lead past the end in most cases.

QEMU reads zeros for the missing bytes; qemu-img check stays silent.
"""

from __future__ import annotations

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.odd import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-L2-EOF-PARTIAL",
    Severity.NOTE,
    odd=Odd.L2_EOF_PARTIAL,
    says="{count} L2 entr{ies} leading to the last cluster, of which the file holds a part only",
    spec="L2 table",
    category=Category.FORENSIC,
)
