"""The file ends inside the header.

A header has 72 bytes in version 2 and 104 or more in version 3. The file is shorter, so that not even the places of the
tables are known, and no table can be in it.

What else could explain it: a copy that was stopped at once; a text or note with the name of an image.

QEMU takes missing bytes for zeros and refuses the image for what follows from that; qemu-img check does too.
"""

from __future__ import annotations

from qcow2inspect.rules.base import opening_rule

__all__ = ["RULE"]

RULE = opening_rule(__name__, "QCOW-HDR-TRUNCATED")
