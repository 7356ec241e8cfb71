"""An L1 entry has flags but no offset.

An entry without an offset means that its range is unallocated, and such an entry has no flags. Readers take it as
unallocated; if the offset was lost, so is everything that the entry mapped.

What else could explain it: a program that sets COPIED everywhere.

QEMU reads the range as unallocated; qemu-img check parses the image header as an L2 table and reports dozens of
errors that do not exist.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-L1-ZERO-FLAGS",
    Severity.WARNING,
    odd=Odd.L1_FLAGS_ONLY,
    says="{count} L1 entr{ies} with flags but no offset",
    spec="L1 table",
)
