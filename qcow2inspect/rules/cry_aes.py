"""Guest data is encrypted with the legacy AES method.

Every normal cluster is encrypted with AES-128 in CBC mode; the passphrase itself is the key, so that it can be guessed
quickly. Compressed clusters, metadata and names are stored in clear. There is no way to verify a passphrase except
that the decrypted data makes sense.

What else could explain it: the crypt_method field was changed by hand; then the data is readable as it is.

QEMU decrypts with the passphrase and refuses the method in virtual machines.
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
    if image.header.crypt_method is not CryptMethod.AES:
        return None
    return "guest data is encrypted with the legacy AES method: a key is needed; the method itself is weak"


RULE = header_rule(__name__, "QCOW-CRY-AES", Severity.WARNING, Category.SECURITY, field="crypt_method", says=_says)
