"""An L1 entry points to no multiple of the cluster size.

L2 tables lie at multiples of the cluster size. The table that this entry means cannot be found, and everything that it
maps is unreadable: up to 512 MiB for one entry at 64 KiB clusters.

What else could explain it: the entry was overwritten; the right offset may survive in a snapshot's L1 table.

QEMU fails reads of the range with an I/O error; qemu-img check counts a corruption and parses the wrong place.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-L1-UNALIGNED",
    Severity.ERROR,
    odd=Odd.L1_UNALIGNED,
    says="{count} L1 entr{ies} pointing to no multiple of the cluster size: the L2 tables cannot be found",
    spec="L1 table",
)
