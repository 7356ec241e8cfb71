"""A header extension runs past its area.

The length of a header extension leads past the backing file name or past the first cluster. Nothing behind it can be
read: backing format, data file name, encryption header and bitmaps may be missing.

What else could explain it: a damaged length; a header length that is wrong, so that other bytes are read as an
extension.

QEMU refuses the image: "Header extension too large".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Evidence, Severity
from qcow2inspect.rules.base import simple_rule
from qcow2inspect.units import HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[tuple[str, Evidence]]:
    area = survey.image.extensions
    if area.overrun is None:
        return
    at = area.extensions[-1].where.end if area.extensions else area.where.start
    raw = int.from_bytes(area.overrun.encode(), "big")
    what = f"the header extension {area.overrun.magic:#010x} at {at} claims {area.overrun.length:,} bytes"
    yield f"{what}, its area ends at {area.where.end}", Evidence(HostRange.at(at, 8), "ext.broken", raw)


RULE = simple_rule(
    __name__, "QCOW-EXT-OVERRUN", Severity.ERROR, Category.CORRUPTION, spec="Header extensions", find=_find
)
