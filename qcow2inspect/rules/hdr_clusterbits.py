"""The cluster size is impossible.

The header says that a cluster has 1 << cluster_bits bytes; possible are 9 to 21. All tables count in clusters: without
their size no table can be found, though all of them may be there.

What else could explain it: damage to this field alone. QEMU writes 16 unless it is told otherwise, and the distances
between the tables tell the size too.

QEMU refuses the image, and qemu-img check does too.
"""

from __future__ import annotations

from qcow2inspect.rules.base import opening_rule

__all__ = ["RULE"]

RULE = opening_rule(__name__, "QCOW-HDR-CLUSTERBITS")
