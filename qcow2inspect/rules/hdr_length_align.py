"""The header length is no multiple of 8.

The header extensions start where the header ends, at a multiple of 8 bytes. With an odd length they are read from the
wrong byte, and what they say (backing format, data file, encryption) is lost.

What else could explain it: a damaged header field.

QEMU starts at the odd byte and usually sees the end of the extensions there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    if image.header.header_length % 8 == 0:
        return None
    return f"the header length {image.header.header_length} is no multiple of 8: header extensions may be misread"


RULE = header_rule(
    __name__,
    "QCOW-HDR-LENGTH-ALIGN",
    Severity.WARNING,
    Category.FORENSIC,
    field="header_length",
    says=_says,
    spec="Additional fields",
)
