"""Clusters that read as zeros still hold data.

Their entries have both the zero flag and a host cluster, or their subclusters are not allocated in a host cluster that
is. The guest reads zeros, or what the backing file has; the host cluster keeps what was written before.

What else could explain it: a preallocated image on storage that was not zeroed; a snapshot that shares the cluster and
still shows the data.

QEMU leaves the old bytes where they are when a guest writes zeros without discarding; qemu-img check stays silent.
"""

from __future__ import annotations

from qcow2inspect.rules.content import unseen_rule

__all__ = ["RULE"]

RULE = unseen_rule(
    __name__,
    "QCOW-IMG-ZERO-STALE",
    find=lambda deep: deep.stale,
    says="{count} ({size}) with data that the guest does not see, because the entry says zeros or nothing",
    spec="Standard Cluster Descriptor",
)
