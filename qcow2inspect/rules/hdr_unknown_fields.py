"""The header is longer than this specification.

The header has 112 bytes; this one says that it has more. The bytes beyond are fields of a newer version, whose meaning
is unknown here. A field that changes how the tables are read would have to set an incompatible feature bit, so that
what is shown is right as long as no such bit is set.

What else could explain it: a damaged header length; then the header extensions are looked for at the wrong place.

QEMU 7.2 skips the bytes and keeps them when it rewrites the header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.header import Header
from qcow2inspect.rules.base import places_rule
from qcow2inspect.units import HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:
    header, image = survey.image.header, survey.image
    where = HostRange.at(Header.SIZE, header.header_length - Header.SIZE).clip(0, image.geometry.cluster_size)
    if where:
        yield where, f"the header has {where.size:,} bytes of fields that are unknown here"


RULE = places_rule(
    __name__, "QCOW-HDR-UNKNOWN-FIELDS", Severity.NOTE, Category.FORENSIC, find=_find, spec="Additional fields"
)
