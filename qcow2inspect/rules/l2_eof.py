"""An L2 entry points past the end of the file.

The host cluster of the guest cluster is not in the file. It reads as zeros: guest data disappears without an error.
The entry may also have the zero flag; then nothing is lost but what the cluster held before.

What else could explain it: the image file was cut off, for example by an unfinished copy or a full disk.

QEMU reads zeros; qemu-img check counts a corruption.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-L2-EOF",
    Severity.ERROR,
    odd=Odd.L2_EOF,
    says="{count} L2 entr{ies} pointing past the end of the file: the data is missing and reads as zeros",
    spec="L2 table",
)
