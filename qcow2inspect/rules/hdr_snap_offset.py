"""The snapshot table is not where a table can be.

Its offset is no multiple of the cluster size or lies beyond any possible file, so that the snapshots cannot be found.
QEMU wants this even of an image without snapshots.

What else could explain it: a damaged header field. The active disk does not depend on it.

QEMU refuses the image: "Snapshot table offset invalid".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-SNAP-OFFSET", Severity.ERROR, spec="Snapshots")
