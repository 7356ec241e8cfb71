"""The snapshot table is too large.

The entries of the snapshot table take more than 64 MiB: extra data, ids or names are enormous. A program that reads the
table whole needs that much memory.

What else could explain it: damaged lengths, so that bytes of other structures are read as entries.

QEMU refuses the image: "Snapshot table is too big". The active disk does not depend on the table.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-SNAP-TABLE-HUGE", Severity.ERROR, spec="Snapshots")
