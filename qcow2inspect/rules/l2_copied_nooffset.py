"""An L2 entry has the COPIED flag but no offset.

The flag says that the host cluster is used once, but there is no host cluster. Readers take the guest cluster as
unallocated, or as zeros if the zero flag is set too; if the offset was lost, so is the data.

What else could explain it: an image that had an external data file, where offset 0 is valid.

QEMU reads the cluster as unallocated; qemu-img check sees nothing, or a leaked cluster.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-L2-COPIED-NOOFFSET",
    Severity.WARNING,
    odd=Odd.L2_COPIED_ONLY,
    says="{count} L2 entr{ies} with the COPIED flag but no offset",
    spec="L2 table",
)
