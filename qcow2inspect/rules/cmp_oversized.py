"""A compressed cluster claims more sectors than its stream needs.

The entry says how many sectors the stream may take, and at least the last of them has nothing to do with it. The bytes
behind the end of the stream are slack: no reader looks at them, and they may hold anything.

What else could explain it: a writer that reserves room generously, or a stream that was replaced by a shorter one.

QEMU reads the cluster and ignores the slack; qemu-img check stays silent. QEMU itself always writes the exact number.
"""

from __future__ import annotations

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.content import stream_rule
from qcow2inspect.survey.streams import StreamFault

__all__ = ["RULE"]

RULE = stream_rule(
    __name__,
    "QCOW-CMP-OVERSIZED",
    Severity.NOTE,
    fault=StreamFault.OVERSIZED,
    says="the entry claims at least a sector more than the stream needs",
    category=Category.FORENSIC,
)
