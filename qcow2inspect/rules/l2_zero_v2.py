"""The zero flag in a version 2 image.

Bit 0 of an L2 entry means "reads as zeros" in version 3 and is reserved in version 2.

What else could explain it: the version field was changed from 3 to 2; an overwritten table.

QEMU fails reads of the cluster with an I/O error; qemu-img check sees nothing.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-L2-ZERO-V2",
    Severity.ERROR,
    odd=Odd.L2_ZERO_V2,
    says="{count} L2 entr{ies} with the zero flag, which version 2 does not have",
    spec="L2 table",
)
