"""The padding of the header is not zero.

Bytes 105 to 111 of the header are padding and should be zero. Here they hold something that no program is known to
write: a remark of the program that made the image, hidden bytes, or the start of a field of a newer version.

What else could explain it: the header was written by a newer program, or its bytes were overwritten.

QEMU does not look at them and zeroes them whenever it rewrites the header.
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
    if any(header.padding):
        yield "hdr.padding", f"the padding of the header holds {header.padding.hex(' ')}, it should be zero"


RULE = places_rule(__name__, "QCOW-HDR-PADDING", Severity.NOTE, Category.FORENSIC, find=_find, spec="Additional fields")
