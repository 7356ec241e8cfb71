"""Two bitmaps have the same name.

Bitmaps are told apart by their names. Of two with the same name a program uses the one or the other, so that a backup
may miss what was written.

What else could explain it: a damaged or copied directory entry; names that differ behind a NUL byte only.

QEMU refuses the whole image for it: "Bitmap already exists", even to show its facts.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-BMP-DUP-NAME", Severity.WARNING, spec="Bitmaps")
