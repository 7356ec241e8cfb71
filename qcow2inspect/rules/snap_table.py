"""The snapshot table cannot be read to its end.

An entry runs past the end of the file or has more extra data than allowed, or the header counts more snapshots than
there are. The snapshots behind it cannot be listed; the active disk does not depend on them.

What else could explain it: the file was cut off; a damaged count in the header.

QEMU refuses the image, or qemu-img check reports that it cannot read the snapshot table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    count, found = image.header.nb_snapshots, len(image.snapshots)
    if found == count:
        return None
    return f"the header counts {count:,} snapshots, {found:,} entries of the snapshot table can be read"


RULE = header_rule(
    __name__,
    "QCOW-SNAP-TABLE-OVERRUN",
    Severity.ERROR,
    Category.CORRUPTION,
    field="nb_snapshots",
    says=_says,
    spec="Snapshots",
)
