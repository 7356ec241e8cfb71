"""Reserved bits of a refcount table entry are set.

Bits 0 to 8 must be zero. No program of today writes them: the entry was changed by something else, and its offset may
be wrong too. Guest data does not depend on it.

What else could explain it: an overwritten table; bit flips.

QEMU reads on and may refuse to write; qemu-img check counts a corruption and wants to rebuild the refcounts.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-RT-RESERVED",
    Severity.ERROR,
    odd=Odd.RT_RESERVED,
    says="reserved bits are set in {count} refcount table entr{ies}",
    spec="Host cluster management",
)
