"""A stored refcount is lower than the number of references.

More structures use the cluster than its refcount says. When one of them gives it up, the count falls to zero too
early, and the next writer puts new data over what the others still use. Reading is not affected now.

What else could explain it: the image was not closed cleanly (the dirty bit says so); an interrupted snapshot; a second
pointer to the cluster that is itself the damage.

QEMU does not notice while reading; qemu-img check counts a corruption for each cluster.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.spans import refcount_rule
from qcow2inspect.survey.faults import Fault

__all__ = ["RULE"]

RULE = refcount_rule(
    __name__,
    "QCOW-REF-LOW",
    Severity.ERROR,
    fault=Fault.REF_LOW,
    says="{clusters} with a stored refcount below the references: {where} (first: {stored} stored, {references} used)",
    dirty=Severity.WARNING,
)
