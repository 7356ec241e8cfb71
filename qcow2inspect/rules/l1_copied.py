"""The COPIED flag of an L1 entry contradicts the refcount of its L2 table.

The flag means that the refcount is exactly one, so that a writer may change the table in place. Set wrongly, a write
changes what a snapshot sees too; missing wrongly, a writer only copies a table for nothing.

What else could explain it: a wrong refcount rather than a wrong flag; other programs that never set the flag.

QEMU reads it as it is; qemu-img check counts a corruption and repairs the flag.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.odd import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-L1-COPIED",
    Severity.WARNING,
    odd=Odd.L1_COPIED,
    says="{count} L1 entr{ies} whose COPIED flag contradicts the refcount of the L2 table",
    spec="L1 table",
)
