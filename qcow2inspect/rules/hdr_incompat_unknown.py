"""Unknown incompatible features.

A bit of incompatible_features is set that this specification does not know. By its definition the tables may mean
something else, so guest data cannot be read with certainty. The structure can still be looked at.

What else could explain it: a damaged header. The feature name table may name the bit.

QEMU refuses the image: "Unsupported qcow2 feature(s)".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-INCOMPAT-UNKNOWN", Severity.FATAL)
