"""Free clusters hold data.

Nothing leads to these clusters and their refcount is 0, but they are not empty: remains of clusters that were freed,
such as old versions of compressed clusters, former tables, deleted snapshots. What lies behind the last cluster in use
is told apart from them (QCOW-IMG-TRAILING).

What else could explain it: storage that was not zeroed before the image was written to it; data that was put there.

QEMU never reads them and takes them for the next cluster it writes; qemu-img check stays silent.
"""

from __future__ import annotations

from qcow2inspect.rules.content import unseen_rule

__all__ = ["RULE"]

RULE = unseen_rule(
    __name__,
    "QCOW-IMG-FREE-CONTENT",
    find=lambda deep: deep.free,
    says="{count} ({size}) that nobody uses and that hold data",
    spec="Host cluster management",
)
