"""The disk size is no multiple of 512 bytes.

Disks have whole sectors. QEMU rounds the size down, so that the last bytes are invisible to every guest and to every
conversion; this tool does the same and says so.

What else could explain it: the size field was changed by hand.

QEMU rounds down without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    tail = image.header.size % SECTOR
    if not tail:
        return None
    return f"the disk size is no multiple of {SECTOR}: its last {tail} bytes are invisible in QEMU and left out here"


RULE = header_rule(__name__, "QCOW-HDR-SIZE-UNALIGNED", Severity.WARNING, Category.FORENSIC, field="size", says=_says)
