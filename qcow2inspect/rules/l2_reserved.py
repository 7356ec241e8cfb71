"""Reserved bits of an L2 entry are set.

Bits 1 to 8 and 56 to 61 of an L2 entry must be zero (with extended L2 entries bit 0 too). Readers ignore them, so the
mapping still works, but no program of today writes them.

What else could explain it: a newer program with a use for the bits; a table overwritten with other data, if there are
many.

QEMU reads on; qemu-img check counts a corruption for each and never repairs it.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-L2-RESERVED",
    Severity.WARNING,
    odd=Odd.L2_RESERVED,
    says="reserved bits are set in {count} L2 entr{ies}",
    spec="L2 table",
)
