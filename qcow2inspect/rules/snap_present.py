"""Internal snapshots are present.

The file holds earlier states of the disk, each with an L1 table of its own. Clusters that only a snapshot uses hold
older content of the guest.

What else could explain it: nothing; this is what snapshots are.

QEMU lists them with qemu-img snapshot -l.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    count = image.header.nb_snapshots
    if not count:
        return None
    return f"{count:,} internal snapshot{'s' if count > 1 else ''}: earlier states of the disk are in this file"


RULE = header_rule(
    __name__, "QCOW-SNAP-PRESENT", Severity.INFO, Category.FORENSIC, field="nb_snapshots", says=_says, spec="Snapshots"
)
