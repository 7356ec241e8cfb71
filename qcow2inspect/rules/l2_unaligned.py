"""An L2 entry points to no multiple of the cluster size.

Host clusters lie at multiples of the cluster size. Where the data of this guest cluster lies cannot be told.

What else could explain it: the entry was overwritten; many such entries in one table mean that the table was
overwritten with other data.

QEMU fails reads of the cluster with an I/O error; qemu-img check counts a corruption and cannot repair it.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-L2-UNALIGNED",
    Severity.ERROR,
    odd=Odd.L2_UNALIGNED,
    says="{count} L2 entr{ies} pointing to no multiple of the cluster size: the data cannot be found",
    spec="L2 table",
)
