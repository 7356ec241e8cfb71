"""A subcluster allocation bitmap that contradicts itself.

A subcluster is marked allocated and reading as zeros at once, or allocated without a host cluster, or the entry is
compressed and has a bitmap. What the subclusters hold cannot be told.

What else could explain it: an overwritten table; a program that does not know extended L2 entries.

QEMU fails reads of the cluster with an I/O error (a bitmap beside a compressed cluster is ignored); qemu-img check
counts a corruption.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-EXTL2-OVERLAP",
    Severity.ERROR,
    odd=Odd.SUBCLUSTERS,
    says="the subcluster allocation bitmap of {count} L2 entr{ies} contradicts itself or the entry",
    spec="Extended L2 Entries",
)
