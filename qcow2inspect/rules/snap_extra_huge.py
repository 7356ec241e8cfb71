"""A snapshot table entry has too much extra data.

An entry of the snapshot table claims more than 1024 bytes of extra data. It and all entries behind it cannot be listed.
The active disk does not depend on them.

What else could explain it: a damaged length; the entry starts at the wrong place because the one before it is damaged.

QEMU refuses the image: "Too much extra metadata in snapshot table entry"; qemu-img check -r all removes the extra data
or the snapshots behind it.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-SNAP-EXTRA-HUGE", Severity.ERROR, spec="Snapshots")
