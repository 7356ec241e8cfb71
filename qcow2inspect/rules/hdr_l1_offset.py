"""The L1 table is not where a table can be.

Its offset is no multiple of the cluster size or lies beyond any possible file. Without the L1 table no guest data can
be found.

What else could explain it: a damaged header field. Images of QEMU have the table at the fourth cluster.

QEMU refuses the image: "Active L1 table offset invalid".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-L1-OFFSET", Severity.ERROR, spec="L1 table")
