"""The version of the format is unknown.

There are versions 1, 2 and 3. Another number means that no field behind it can be trusted to be what it was.

What else could explain it: damage to these four bytes alone; then the header looks sound with version 2 or 3 put in.

QEMU refuses the image, and qemu-img check does too.
"""

from __future__ import annotations

from qcow2inspect.rules.base import opening_rule

__all__ = ["RULE"]

RULE = opening_rule(__name__, "QCOW-HDR-VERSION")
