"""Compressed clusters in an encrypted image lie in clear.

Compressed clusters are never encrypted, not even in an encrypted image. Whoever has this file reads them without a key,
and so does this program.

What else could explain it: an image that was made with qemu-img convert -c and an encryption option at once, which
sounds as if both were done.

QEMU writes such images without a word, and reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.rules.base import places_rule
from qcow2inspect.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:
    number = survey.clusters[ClusterType.COMPRESSED]
    method = survey.image.header.crypt_method
    if number and method in (CryptMethod.AES, CryptMethod.LUKS):
        what = f"{counted(number, 'compressed cluster')} of this encrypted image lie in the file unencrypted"
        yield "hdr.crypt_method", what


RULE = places_rule(
    __name__,
    "QCOW-CRY-PLAINTEXT",
    Severity.WARNING,
    Category.SECURITY,
    find=_find,
    spec="Data encryption",
    needs_tables=True,
)
