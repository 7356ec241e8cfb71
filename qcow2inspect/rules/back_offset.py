"""The backing file name is not where a name can be.

The name of the backing file must lie in the first cluster, behind the header. Elsewhere its bytes are those of another
structure. Without it nobody can tell which file holds what this overlay does not.

What else could explain it: the image has no backing file and the field was overwritten.

QEMU refuses the image if the name lies outside the first cluster ("Invalid backing file offset"); inside the header it
takes the bytes of the header as the name.
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
        if obstacle.code == "QCOW-BACK-OFFSET":
            yield "hdr.backing_file_offset", f"{obstacle.what}; QEMU refuses the image, guest data cannot be read"
    if 0 < header.backing_file_offset < header.stored_size:
        what = f"the backing file name lies at {header.backing_file_offset}, inside the header"
        yield "hdr.backing_file_offset", what


RULE = places_rule(__name__, "QCOW-BACK-OFFSET", Severity.ERROR, Category.CORRUPTION, find=_find, spec="Header")
