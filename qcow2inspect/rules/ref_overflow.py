"""A cluster has more references than its refcount can count.

The width of the refcounts is too small for what points to the cluster. No sound writer makes this: it refuses a
snapshot that would need a larger number. When references are given up, the count falls to zero too early.

What else could explain it: many entries were overwritten with the same value; entries that were aliased on purpose.

QEMU reads it as it is; qemu-img check counts a corruption for each reference too many.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.spans import refcount_rule
from qcow2inspect.survey.faults import Fault

__all__ = ["RULE"]

RULE = refcount_rule(
    __name__,
    "QCOW-REF-OVERFLOW",
    Severity.ERROR,
    fault=Fault.OVERFLOW,
    says="{clusters} with more references than a refcount can count: {where} (first: {references} references)",
)
