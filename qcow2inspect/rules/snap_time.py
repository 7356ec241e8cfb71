"""The time of a snapshot is odd.

Snapshots are appended to the table as they are made. Here one is older than the one before it, lies in the future, or
has a fraction of a second that is none. The clock of the machine that made it was set, or the entry was changed.

What else could explain it: a clock without battery, a change of the system time, a machine in another time zone that
keeps local time.

QEMU shows the time in the time zone of whoever asks, and never verifies it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.header import utc
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.snapshots import snapshots_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    last = (0, 0)
    now = int(time.time())
    for index, snapshot in snapshots_of(survey.image):
        sec, nsec = snapshot.entry.date_sec, snapshot.entry.date_nsec
        if nsec >= _SECOND:
            what = f"{nsec:,} nanoseconds are more than a second"
            yield f"snap[{index}].date_nsec", f"snapshot {snapshot.title}: {what}"
        elif sec > now + _DAY:
            yield f"snap[{index}].date_sec", f"snapshot {snapshot.title} is from the future: {utc(sec)}"
        elif (sec, nsec) < last:
            what = f"snapshot {snapshot.title} of {utc(sec)} is older than the one before it in the table"
            yield f"snap[{index}].date_sec", what
        last = (sec, nsec)


_SECOND = 1_000_000_000
_DAY = 86_400


RULE = places_rule(__name__, "QCOW-SNAP-TIME", Severity.NOTE, Category.FORENSIC, find=_find, spec="Snapshots")
