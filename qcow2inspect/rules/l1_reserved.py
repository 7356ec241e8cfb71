"""Reserved bits of an L1 entry are set.

Bits 0 to 8 and 56 to 62 of an L1 entry must be zero. Readers ignore them, so the mapping still works, but no program
of today writes them: the entry was changed by something else, and its offset may be wrong too.

What else could explain it: a newer program with a use for the bits; bit flips in memory or on the medium.

QEMU reads on; qemu-img check counts a corruption for each and never repairs it.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-L1-RESERVED",
    Severity.ERROR,
    odd=Odd.L1_RESERVED,
    says="reserved bits are set in {count} L1 entr{ies}",
    spec="L1 table",
)
