"""A zero cluster with a host offset that is no multiple of the cluster size.

The guest cluster reads as zeros whatever the host cluster holds, yet QEMU refuses to read it.

What else could explain it: the entry was overwritten and bit 0 is set by chance.

QEMU fails reads of the cluster with an I/O error; qemu-img check -r turns it into a plain zero cluster.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-L2-PREALLOC-UNALIGNED",
    Severity.ERROR,
    odd=Odd.L2_PREALLOC_UNALIGNED,
    says="{count} zero-alloc L2 entr{ies} pointing to no multiple of the cluster size",
    spec="L2 table",
)
