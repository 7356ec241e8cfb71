"""The L1 table is not where a table can be.

Its offset is zero, no multiple of the cluster size, or so large that no file reaches there. Guest data cannot be found
through it; at offset zero the header itself is read as the table.

What else could explain it: a damaged or cleared header field. The table may still be in the file.

QEMU refuses the image: "Active L1 table offset invalid". The offset zero it accepts: it takes the header for the L1
table, most of the disk then reads as zeros without an error, and qemu-img check counts many corruptions.
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
    header = survey.image.header
    for obstacle in survey.image.obstacles:
        if obstacle.code == "QCOW-HDR-L1-OFFSET":
            yield "hdr.l1_table_offset", f"{obstacle.what}; QEMU refuses the image, guest data cannot be read"
    if not header.l1_table_offset and header.l1_size:
        yield "hdr.l1_table_offset", "the L1 table offset is 0: the header itself is read as the L1 table"


RULE = places_rule(__name__, "QCOW-HDR-L1-OFFSET", Severity.ERROR, Category.CORRUPTION, find=_find, spec="L1 table")
