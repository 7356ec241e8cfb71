"""A stored refcount is higher than the number of references.

The cluster is used, but fewer times than its refcount says. It will never be freed; guest data is not in danger. A
reference that existed once may have been lost, for example an L2 entry of a snapshot.

What else could explain it: a snapshot whose creation or deletion was interrupted; damage to another table that pointed
here too.

QEMU reads it as it is; qemu-img check counts a leak and, with -r leaks, lowers the refcount.
"""

from __future__ import annotations

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.spans import refcount_rule
from qcow2inspect.survey.faults import Fault

__all__ = ["RULE"]

RULE = refcount_rule(
    __name__,
    "QCOW-REF-LEAK",
    Severity.WARNING,
    fault=Fault.LEAK,
    says="{clusters} with a stored refcount above the references: {where} (first: {stored} stored, {references} used)",
    category=Category.LEAK,
)
