"""The COPIED flag of an L2 entry contradicts the refcount of its cluster.

The flag means that the refcount is exactly one, so that a writer may change the cluster in place. Set wrongly, a write
changes what a snapshot sees too; missing wrongly, a writer only copies a cluster for nothing.

What else could explain it: a wrong refcount rather than a wrong flag; an interrupted snapshot; other programs that
never set the flag.

QEMU reads it as it is; qemu-img check counts a corruption and repairs the flag.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.odd import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-L2-COPIED",
    Severity.WARNING,
    odd=Odd.L2_COPIED,
    says="{count} L2 entr{ies} whose COPIED flag contradicts the refcount of the cluster",
    spec="Standard Cluster Descriptor",
)
