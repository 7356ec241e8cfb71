"""A compressed entry has a subcluster allocation bitmap.

A compressed cluster is stored as a whole, so its bitmap must be zero. The bitmap means nothing, but a reader that
looks at it first goes wrong.

What else could explain it: an entry that was changed to compressed without clearing its second half; damage to the
compressed flag of a normal entry.

QEMU ignores the bitmap when reading; qemu-img check counts a corruption and then takes the clusters for leaked.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.odd import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-EXTL2-CMP-BITMAP",
    Severity.WARNING,
    odd=Odd.CMP_BITMAP,
    says="{count} compressed entr{ies} with a subcluster allocation bitmap, which must be zero",
    spec="Extended L2 Entries",
)
