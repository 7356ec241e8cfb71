"""The LUKS header contradicts itself.

What lies where the LUKS header should be is none, or one of its fields has an impossible value: an unknown version,
cipher or hash, a key slot in an unknown state, with the wrong number of stripes or on top of another one. The key
material may still be whole, and a repaired copy may open.

What else could explain it: an overwritten header; a header that another program wrote, with a cipher that QEMU does not
have.

QEMU refuses the image, even where the odd key slot is not the one that the passphrase opens.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-CRY-LUKS-BAD", Severity.ERROR, spec="Data encryption")
