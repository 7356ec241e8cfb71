"""A LUKS header in an image that is not encrypted with LUKS.

A header extension points to a LUKS header, but the encryption method is another one. Either the data is encrypted and
the header denies it, or the extension is left over.

What else could explain it: the encryption method field was changed by hand, or damaged.

QEMU refuses the image: "CRYPTO header extension only expected with LUKS encryption method".
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-CRY-EXT-UNEXPECTED", Severity.ERROR, spec="Data encryption")
