"""The guest disk starts as an image of a format of its own.

The first bytes of the disk are those of an image format. That is harmless as long as everybody knows that the disk is
raw. A program that guesses the format of a raw copy, or of a backing file without a stated format, takes what the guest
wrote for an image header: its backing file name may then show the guest any file of the host.

What else could explain it: somebody wrote an image file onto the disk of a guest on purpose, for a nested guest.

QEMU warns when it has to guess and finds a raw file; qemu-img check does not look at guest data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.findings import Category, Severity
from qcow2inspect.image.disk import active_disk
from qcow2inspect.image.probe import probe
from qcow2inspect.rules.base import places_rule
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import GuestOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]

_START = 512


def _find(survey: Survey) -> Iterator[Spot]:
    try:
        disk = survey.chain.disk() if survey.chain else active_disk(survey.image)
        start = MemorySource(disk.read_at(0, _START))
        extent = disk.lookup(GuestOffset(0))
    except (Qcow2InspectError, IndexError):
        return
    found = probe(start)
    if found != "raw" and not extent.layer:
        inside = extent.host is not None and not survey.image.has_data_file
        place = HostRange.at(extent.host.start, 8) if extent.host and inside else "hdr.size"
        yield (
            place,
            f"the guest disk starts like an image of format “{found}”: no program may guess its format",
        )


RULE = places_rule(
    __name__,
    "QCOW-IMG-NESTED",
    Severity.WARNING,
    Category.SECURITY,
    find=_find,
    spec="Cluster mapping",
    needs_tables=True,
)
