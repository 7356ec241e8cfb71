"""Compression type and its feature bit disagree.

The incompatible feature bit 3 must be set exactly if the compression type is not zlib. One of the two is wrong, so
that how compressed clusters are compressed is uncertain.

What else could explain it: one of the fields was changed by hand.

QEMU refuses the image: "Compression type incompatible feature bit must (not) be set".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-COMPBIT", Severity.ERROR, spec="Additional fields")
