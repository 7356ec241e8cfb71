"""Guest data lies in an external data file.

This file holds the metadata only. The guest data lies in another file, at the same offset as in the guest disk.

What else could explain it: the feature bit was set by hand; then the data is here and cannot be reached.

QEMU opens the data file whenever it opens the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import header_rule
from qcow2inspect.rules.names import shown_name

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    if not image.has_data_file:
        return None
    name = shown_name(image.data_file_name)
    return f"guest data lies in the external data file {f'“{name}”' if name else '(which the image does not name)'}"


RULE = header_rule(
    __name__, "QCOW-DF-PRESENT", Severity.INFO, Category.FORENSIC, field="incompatible_features", says=_says
)
