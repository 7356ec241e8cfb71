"""The file does not start as a qcow2 image.

The first four bytes are not QFI and 0xfb. Either the file is something else, a raw disk for example, or the header was
overwritten. Without a header nothing says where the tables lie; they may all be there.

What else could explain it: a file that was copied from the wrong offset, or was compressed or encrypted as a whole by
another program.

QEMU takes such a file for a raw disk, unless it is told that it is qcow2; qemu-img check says that the format has no
check.
"""

from __future__ import annotations

from qcow2inspect.rules.base import opening_rule

__all__ = ["RULE"]

RULE = opening_rule(__name__, "QCOW-HDR-MAGIC")
