"""The L1 table is longer than the disk needs.

The header gives the L1 table more entries than a disk of this size has use for. The entries behind the end of the disk
hold the VM state of snapshots; without such a snapshot they are a trace of a disk that was larger, or of a snapshot
that is gone.

What else could explain it: an image that was shrunk, whose L1 table keeps its length; a program that rounds the length
up; a size field that was lowered by hand.

QEMU accepts any length up to 4,194,304 entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import header_rule

if TYPE_CHECKING:
    from qcow2inspect.image.image import Image

__all__ = ["RULE"]


def _says(image: Image) -> str | None:
    count, needed = image.header.l1_size, image.geometry.l1_entries(image.header.size)
    if count <= max(1, needed) or any(snapshot.vm_state_size for snapshot in image.snapshots):
        return None
    return f"the L1 table has {count:,} entries, the disk needs {needed:,}; no snapshot holds a VM state"


RULE = header_rule(
    __name__, "QCOW-HDR-L1-EXCESS", Severity.NOTE, Category.FORENSIC, field="l1_size", says=_says, spec="L1 table"
)
