"""A backing file without a name.

backing_file_offset is set and backing_file_size is 0. QEMU takes the image as one without a backing file; whether it
ever had one cannot be told.

What else could explain it: the length field was cleared by hand.

QEMU opens the image as if it had no backing file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    if not image.header.backing_file_offset or image.header.backing_file_size:
        return None
    return "the header has a place for a backing file name but the name is empty"


RULE = header_rule(
    __name__, "QCOW-BACK-EMPTY", Severity.WARNING, Category.FORENSIC, field="backing_file_size", says=_says
)
