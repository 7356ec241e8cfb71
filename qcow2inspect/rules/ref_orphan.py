"""Clusters are counted as used, but nothing points to them.

They are lost space to QEMU, and residue to an examiner: they hold what they held when the last pointer to them
disappeared, for example data of a deleted file, an L2 table that was replaced, or guest data whose L2 table was wiped.

What else could explain it: a virtual machine that stopped while it was writing; an interrupted snapshot; an image that
was written by a program that reserves clusters in advance.

QEMU never looks at them; qemu-img check counts leaks, and qemu-img check -r leaks frees them, after which they are
overwritten.
"""

from __future__ import annotations

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.spans import refcount_rule
from qcow2inspect.survey.faults import Fault

__all__ = ["RULE"]

RULE = refcount_rule(
    __name__,
    "QCOW-REF-ORPHAN",
    Severity.WARNING,
    fault=Fault.ORPHAN,
    says="{clusters} counted as used, to which nothing points: {where}",
    category=Category.LEAK,
)
