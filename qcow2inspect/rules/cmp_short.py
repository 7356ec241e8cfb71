"""A compressed cluster inflates to less than a cluster.

The stream is sound and ends too early: it was made of less data than a cluster holds, or of another cluster size. What
it gives is readable, what is missing is not in the file.

What else could explain it: a writer that compressed the end of a disk without filling up its last cluster; an entry
that leads to the stream of another image.

QEMU fails reads of the cluster with an I/O error; qemu-img check does not look at content and stays silent.
"""

from __future__ import annotations

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.content import stream_rule
from qcow2inspect.survey.streams import StreamFault

__all__ = ["RULE"]

RULE = stream_rule(
    __name__,
    "QCOW-CMP-SHORT",
    Severity.ERROR,
    fault=StreamFault.SHORT,
    says="the stream ends before it has given a cluster",
    category=Category.CORRUPTION,
)
