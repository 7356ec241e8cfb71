"""Unused bytes of the first cluster are not zero.

The first cluster holds the header, its extensions and the backing file name, and nothing else. Bytes that belong to
none of them stand between these structures or behind them: something was put there by another program or by hand, or is
left over from an older header.

What else could explain it: a program that rewrites the header without clearing the rest of the cluster, so that the
name of an earlier backing file is still there.

QEMU does not look at these bytes, qemu-img check does not either, and the next program that rewrites the header loses
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.layout.structure import printable
from qcow2inspect.rules.base import places_rule
from qcow2inspect.survey.unseen import content_range
from qcow2inspect.units import HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.image import Image
    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:
    for where in _unused(survey.image):
        found = content_range(survey.image, where)
        if found:
            start = printable(survey.image.read(found.start, min(found.size, 24)))
            yield found, f"{found.size:,} unused bytes of the first cluster are not zero, they start “{start}”"


def _unused(image: Image) -> Iterator[HostRange]:
    """What lies behind the end marker, and behind the backing file name; in this file."""
    header, area = image.header, image.extensions
    size = min(image.geometry.cluster_size, image.end)
    if area.end_marker is None:
        return
    yield HostRange.at(area.end_marker + 8, area.where.end - area.end_marker - 8).clip(0, size)
    if header.backing_file_offset:
        yield HostRange.at(0, size).clip(header.backing_file_offset + header.backing_file_size, size)


RULE = places_rule(__name__, "QCOW-HDR-SLACK", Severity.NOTE, Category.FORENSIC, find=_find, spec="Header extensions")
