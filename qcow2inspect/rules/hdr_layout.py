"""The tables lie as a known program lays them out.

Where a new image has its first tables tells which program made it: QEMU puts refcount table, first refcount block and
L1 table into the clusters 1, 2 and 3; e2image puts the L1 table into cluster 1 of a version 2 image without header
extensions. The places survive as long as no table had to grow. If the header is ever lost, the tables are found there.

What else could explain it: another program that follows the same order, as this one does; the place is a hint, no
proof.

QEMU does not depend on where the tables lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import places_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:
    image = survey.image
    header, size = image.header, image.geometry.cluster_size
    table, l1 = header.refcount_table_offset, header.l1_table_offset
    has_table = len(image.refcount_table) > 0
    if has_table and table == size and l1 == 3 * size and image.refcount_table[0].refcount_block_offset == 2 * size:
        yield "hdr.l1_table_offset", "refcount table, refcount block and L1 table lie as in a new image of QEMU"
    elif header.version == 2 and l1 == size and not image.extensions.extensions:
        yield "hdr.l1_table_offset", "version 2, L1 table in cluster 1, no header extensions: as e2image writes it"


RULE = places_rule(
    __name__, "QCOW-HDR-LAYOUT", Severity.INFO, Category.FORENSIC, find=_find, spec="Header", needs_tables=True
)
