"""Extended L2 entries with clusters that are too small.

A subcluster is a thirty-second of a cluster and has at least 512 bytes, so that extended L2 entries need clusters of
at least 16 KiB. With smaller ones the layout of the L2 tables is undefined.

What else could explain it: the feature bit or cluster_bits was damaged.

QEMU refuses the image: "Unsupported subcluster size".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-SUBCLUSTER", Severity.FATAL, spec="Extended L2 Entries")
