"""Clusters in use have no refcount block.

The refcount table names no block for them, so their refcounts count as zero: a writer takes them for free and
overwrites them. Reading guest data does not depend on it.

What else could explain it: a refcount table entry was overwritten with zero; the table was cut or moved; an image with
lazy refcounts that was not closed cleanly.

QEMU takes the refcounts for zero; qemu-img check counts a corruption for each cluster.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.spans import refcount_rule
from qcow2inspect.survey.faults import Fault

__all__ = ["RULE"]

RULE = refcount_rule(
    __name__,
    "QCOW-REF-BLOCKMISSING",
    Severity.ERROR,
    fault=Fault.BLOCK_MISSING,
    says="{clusters} in use that no refcount block covers: {where}",
    dirty=Severity.WARNING,
)
