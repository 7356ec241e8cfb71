"""An L2 entry that leads into the external data file lacks the COPIED flag.

Clusters of an external data file have no refcount, and the flag must be set for all of them. At guest offset 0 it is
even what tells an entry with the offset 0 from an unused one: without the flag the first cluster of the disk is not
there at all, and reads as zeros or as what the backing file holds.

What else could explain it: a program that derives the flag from a refcount; a damaged entry.

QEMU reads other clusters all the same; qemu-img check counts a corruption, and does not see it at guest offset 0.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.odd import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-DF-COPIED",
    Severity.ERROR,
    odd=Odd.DF_COPIED,
    says="{count} L2 entr{ies} leading into the external data file without the COPIED flag",
    spec="Standard Cluster Descriptor",
)
