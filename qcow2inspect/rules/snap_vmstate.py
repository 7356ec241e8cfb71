"""A snapshot holds the state of a running machine.

The snapshot was made while the virtual machine ran: main memory, registers and devices are in this file. That can be
passwords, keys and open documents of that moment.

What else could explain it: nothing; this is what savevm does.

QEMU loads the state with loadvm. It lies behind the end of the disk, in the tables of the snapshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.snapshots import snapshots_of
from qcow2inspect.units import exact_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.format.snapshot import Snapshot
    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    for index, snapshot in snapshots_of(survey.image):
        if snapshot.vm_state_size:
            what = f"snapshot {snapshot.title} holds {exact_size(snapshot.vm_state_size)} of VM state, with main memory"
            yield f"snap[{index}].{_field(snapshot)}", what


def _field(snapshot: Snapshot) -> str:
    """The size is in the extra data if there is any."""
    return "extra.vm_state_size" if snapshot.extra_size >= 8 else "vm_state_size"


RULE = places_rule(__name__, "QCOW-SNAP-VMSTATE", Severity.INFO, Category.FORENSIC, find=_find, spec="Snapshots")
