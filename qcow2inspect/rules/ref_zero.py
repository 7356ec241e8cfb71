"""A cluster in use has a stored refcount of zero.

To a writer the cluster is free: the next one that needs space takes it and overwrites what is there. Until then it
reads correctly. This is the state right before data is lost.

What else could explain it: lazy refcounts that were not written because the virtual machine stopped suddenly (the
dirty bit says so; then it is expected and harmless to readers); a repair that freed too much.

QEMU does not notice while reading; qemu-img check counts a corruption for each cluster and wants to rebuild all
refcounts.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.spans import refcount_rule
from qcow2inspect.survey.faults import Fault

__all__ = ["RULE"]

RULE = refcount_rule(
    __name__,
    "QCOW-REF-ZERO",
    Severity.ERROR,
    fault=Fault.REF_ZERO,
    says="{clusters} in use with a stored refcount of zero: {where}",
    dirty=Severity.WARNING,
)
