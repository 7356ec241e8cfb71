"""More snapshots than QEMU allows.

The header counts more than 65,536 snapshots. The snapshot table is read up to that number.

What else could explain it: a damaged header field. The active disk does not depend on it.

QEMU refuses the image: "Snapshot table too large".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-SNAP-COUNT", Severity.ERROR, spec="Snapshots")
