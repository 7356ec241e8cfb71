"""The image is an overlay.

What the image does not hold itself is read from its backing file, which the header names. The content is complete only
together with the whole chain of backing files, each unchanged since the overlay was made.

What else could explain it: nothing; this is how snapshots and clones are made.

QEMU opens the backing file whenever it opens the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.layout.structure import printable
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    if not image.header.backing_file_offset:
        return None
    return f"the image is an overlay of “{printable(image.backing_name)}”: without that file its content is incomplete"


RULE = header_rule(
    __name__, "QCOW-BACK-PRESENT", Severity.INFO, Category.FORENSIC, field="backing_file_offset", says=_says
)
