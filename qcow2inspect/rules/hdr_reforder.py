"""The refcount width is impossible.

Refcounts have at most 64 bits (order 6). With a larger order the refcount blocks cannot be read; guest data does not
depend on them.

What else could explain it: a damaged header field.

QEMU refuses the image: "Reference count entry width too large".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-REFORDER", Severity.ERROR, spec="Header")
