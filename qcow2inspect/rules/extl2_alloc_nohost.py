"""An extended L2 entry has allocated subclusters but no host cluster.

The bitmap says that data is stored, the entry does not say where. The place is lost; the guest cluster cannot be
read.

What else could explain it: the first half of the entry was overwritten with zeros; an interrupted write.

QEMU refuses to read the cluster; qemu-img check counts a corruption.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.odd import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-EXTL2-ALLOC-NOHOST",
    Severity.ERROR,
    odd=Odd.ALLOC_NOHOST,
    says="{count} extended L2 entr{ies} with allocated subclusters but without a host cluster",
    spec="Extended L2 Entries",
)
