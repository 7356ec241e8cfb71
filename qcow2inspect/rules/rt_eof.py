"""A refcount table entry points past the end of the file.

The refcounts of the block read as zero: clusters in use look free, and the next writer overwrites them. Reading guest
data does not depend on it.

What else could explain it: the image file was cut off.

QEMU reads zeros; qemu-img check counts a corruption.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-RT-EOF",
    Severity.ERROR,
    odd=Odd.RT_EOF,
    says="{count} refcount table entr{ies} pointing past the end of the file: those refcounts read as zero",
    spec="Host cluster management",
)
