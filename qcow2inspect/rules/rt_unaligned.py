"""A refcount table entry points to no multiple of the cluster size.

The refcount block that the entry means cannot be found, so that the use of its clusters is unknown. Guest data does
not depend on it, but the next writer may overwrite clusters in use.

What else could explain it: an overwritten table.

QEMU marks the image corrupt as soon as it needs the block; qemu-img check counts a corruption.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-RT-UNALIGNED",
    Severity.ERROR,
    odd=Odd.RT_UNALIGNED,
    says="{count} refcount table entr{ies} pointing to no multiple of the cluster size",
    spec="Host cluster management",
)
