"""The backing file name lies outside the first cluster.

The name of the backing file must lie in the first cluster. Without it nobody can tell which file holds what this
overlay does not.

What else could explain it: the image has no backing file and the field was overwritten.

QEMU refuses the image: "Invalid backing file offset".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-BACK-OFFSET", Severity.ERROR)
