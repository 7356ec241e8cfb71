"""The pointer to the LUKS header is wrong.

The header extension that says where the LUKS header lies has the wrong length, or leads to a place where no LUKS header
can be: no multiple of the cluster size, past the end of the file, or too short. Without the LUKS header no passphrase
opens the data; structure and compressed clusters can be examined.

What else could explain it: a damaged extension, an image file that was cut off. The LUKS header itself may still be
found in the file by its magic (4c 55 4b 53 ba be).

QEMU refuses the image, with words such as "Encryption header offset is not a multiple of cluster size".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-CRY-EXT-BAD", Severity.ERROR, spec="Data encryption")
