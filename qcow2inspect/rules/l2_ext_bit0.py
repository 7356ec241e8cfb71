"""Bit 0 of an extended L2 entry is set.

In standard entries this bit means that the cluster reads as zeros. In extended entries the subcluster bitmap says
that, and the bit is reserved. A reader that does not know the difference returns zeros instead of data.

What else could explain it: a program that converted standard entries and forgot to clear the bit; damage to one bit.

QEMU ignores the bit; qemu-img check does not see it.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.odd import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-L2-EXT-BIT0",
    Severity.WARNING,
    odd=Odd.EXT_BIT0,
    says="{count} extended L2 entr{ies} with bit 0 set, which is reserved there",
    spec="Extended L2 Entries",
)
