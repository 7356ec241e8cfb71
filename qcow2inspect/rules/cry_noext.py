"""LUKS encryption without a LUKS header.

The header says that guest data is encrypted with LUKS, but no header extension points to a LUKS header. Salts and key
slots are there; without them no passphrase opens the data.

What else could explain it: a damaged extension; the LUKS header itself may still be found in the file by its magic (4c
55 4b 53 ba be). Or the encryption method was changed by hand and the data is readable as it is.

QEMU refuses the image: "Missing CRYPTO header for crypt method 2"; qemu-img info of version 7.2 crashes on it.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-CRY-NOEXT", Severity.ERROR, spec="Data encryption")
