"""A compressed stream goes on behind its cluster.

The stream gives a whole cluster, and does not end there: it holds more data, or breaks off. Readers stop when the
cluster is full, so that nobody sees the rest.

What else could explain it: a writer that compressed more than a cluster at once, or does not end its streams.

QEMU reads the cluster and ignores the rest; qemu-img check stays silent. QEMU itself never writes such streams. It
refuses zstd streams that go on, which is why only deflate streams are found here.
"""

from __future__ import annotations

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.content import stream_rule
from qcow2inspect.survey.streams import StreamFault

__all__ = ["RULE"]

RULE = stream_rule(
    __name__,
    "QCOW-CMP-LONG",
    Severity.NOTE,
    fault=StreamFault.LONG,
    says="the stream goes on where the cluster is full, nobody reads the rest",
    category=Category.FORENSIC,
)
