"""Guest data is encrypted with LUKS.

Every normal cluster is encrypted; a passphrase opens one of the key slots of the LUKS header, which lies in this file.
Metadata, names and compressed clusters are stored in clear, so that the structure can be examined without a key.

What else could explain it: nothing; a LUKS header is no accident.

QEMU asks for the passphrase, even to check the structure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.luks import SlotState
from qcow2inspect.layout.structure import printable
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    if image.header.crypt_method is not CryptMethod.LUKS:
        return None
    if image.luks is None:
        return "guest data is encrypted with LUKS: a key is needed"
    cipher = printable(image.luks.fields.cipher_name.rstrip(b"\0"))
    mode = printable(image.luks.fields.cipher_mode.rstrip(b"\0"))
    slots = sum(slot.active is SlotState.ENABLED for slot in image.luks.slots)
    return f"guest data is encrypted with LUKS ({cipher}-{mode}, {slots} of 8 key slots in use): a key is needed"


RULE = header_rule(
    __name__,
    "QCOW-CRY-LUKS",
    Severity.INFO,
    Category.SECURITY,
    field="crypt_method",
    says=_says,
    spec="Data encryption",
)
