"""Guest data lies in holes of the image file.

The tables say that these clusters are stored, but the file system stores nothing of them: they read as zeros. Guests
write zeros, and programs that copy images leave them out, so that this is usual. It matters where the clusters should
hold something: then they were never written, or punched out of the file.

What else could explain it: preallocated clusters; a copy that was made sparse; a file system that lost blocks.

QEMU reads zeros and says so in qemu-img map; qemu-img check does not ask the file system.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.content import unseen_rule

__all__ = ["RULE"]

RULE = unseen_rule(
    __name__,
    "QCOW-IMG-SPARSE-HOLES",
    find=lambda deep: deep.holes,
    says="{count} ({size}) of guest data of which the file system stores nothing",
    spec="Host cluster management",
    severity=Severity.INFO,
)
