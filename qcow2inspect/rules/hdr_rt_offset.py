"""The refcount table is not where a table can be.

Its offset is zero, no multiple of the cluster size, or so large that no file reaches there. Which clusters are in use
is then known from the mapping only. Reading guest data does not depend on it.

What else could explain it: a damaged or cleared header field.

QEMU refuses the image: "Reference count table offset invalid". The offset zero it accepts: it takes the header for the
refcount table, and qemu-img check counts many corruptions.
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
        if obstacle.code == "QCOW-HDR-RT-OFFSET":
            what = f"{obstacle.what}; QEMU refuses the image, guest data can still be read"
            yield "hdr.refcount_table_offset", what
    if not header.refcount_table_offset and header.refcount_table_clusters:
        what = "the refcount table offset is 0: the header itself is read as the refcount table"
        yield "hdr.refcount_table_offset", what


RULE = places_rule(
    __name__, "QCOW-HDR-RT-OFFSET", Severity.ERROR, Category.CORRUPTION, find=_find, spec="Host cluster management"
)
