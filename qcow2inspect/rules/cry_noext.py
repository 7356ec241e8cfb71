"""LUKS encryption without a LUKS header.

The header says that guest data is encrypted with LUKS, but no header extension points to a LUKS header, or what it
points to is none. Salts and key slots are there; without them no passphrase opens the data.

What else could explain it: a damaged extension; the LUKS header itself may still be found in the file by its magic
(4c 55 4b 53 ba be).

QEMU refuses the image; qemu-img info of version 7.2 crashes on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    if image.header.crypt_method is not CryptMethod.LUKS or image.luks is not None:
        return None
    return "the header says LUKS but the file has no LUKS header to be found: no passphrase can open the data"


RULE = header_rule(
    __name__,
    "QCOW-CRY-NOEXT",
    Severity.ERROR,
    Category.CORRUPTION,
    field="crypt_method",
    says=_says,
    spec="Data encryption",
)
