"""The header is longer than the first cluster.

Header, header extensions and backing file name must lie in the first cluster. A longer header would overlap the
structures behind it.

What else could explain it: the cluster size field was damaged rather than the length.

QEMU refuses the image: "qcow2 header exceeds cluster size".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-LENGTH-CLUSTER", Severity.FATAL)
