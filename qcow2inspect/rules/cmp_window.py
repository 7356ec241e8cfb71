"""A compressed cluster needs a larger window than QEMU writes with.

The stream refers back by more than the 4 KiB that QEMU allows itself when it compresses. It is sound and gives a whole
cluster, but it was written by another program: a trace of where the image comes from. Streams are told apart with
certainty only if they refer back by 8 KiB or more.

What else could explain it: image builders and converters that compress with the usual window of 32 KiB.

QEMU reads the cluster; other readers that take the window for a promise fail. qemu-img check stays silent.
"""

from __future__ import annotations

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.content import stream_rule
from qcow2inspect.survey.streams import StreamFault

__all__ = ["RULE"]

RULE = stream_rule(
    __name__,
    "QCOW-CMP-WINDOW",
    Severity.NOTE,
    fault=StreamFault.FAR,
    says="the stream needs a window of more than 4 KiB",
    category=Category.FORENSIC,
)
