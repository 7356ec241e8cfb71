"""The refcount table is too large.

QEMU allows 8 MiB. A larger one is no honest image, or the field is damaged; a program that believes it may exhaust
its memory.

What else could explain it: a damaged header field. Guest data does not depend on it.

QEMU refuses the image: "Reference count table too large".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-RT-LARGE", Severity.ERROR, spec="Host cluster management")
