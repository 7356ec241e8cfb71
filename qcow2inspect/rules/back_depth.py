"""The chain of backing files is too long to be followed.

More than 64 files stand behind each other. What lies deeper is not read, and the ranges that only a deeper file holds
are marked as unreadable.

What else could explain it: a backup program that never merges its increments. Such chains are also made to exhaust
file descriptors and memory of a program that opens them.

QEMU has no limit of its own and opens what the system allows.
"""

from __future__ import annotations

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.layers import end_rule

__all__ = ["RULE"]

RULE = end_rule(__name__, "QCOW-BACK-DEPTH", Severity.WARNING, Category.SECURITY)
