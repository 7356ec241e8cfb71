"""The refcount table is not where a table can be.

Its offset is no multiple of the cluster size or lies beyond any possible file. The refcounts cannot be found; guest
data does not depend on them.

What else could explain it: a damaged header field. Images of QEMU have the table at the second cluster.

QEMU refuses the image: "Reference count table offset invalid".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-RT-OFFSET", Severity.ERROR, spec="Host cluster management")
