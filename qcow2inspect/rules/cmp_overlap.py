"""Compressed clusters share bytes that both of them need.

Streams may lie side by side in one host cluster and even in one sector, but each byte belongs to one of them. Here two
streams take the same bytes: what is right for one is hardly right for the other, and if both inflate, somebody made
them so.

What else could explain it: two entries that lead to one stream and differ in the number of sectors only; a writer that
took room for free that was in use.

QEMU inflates each stream by itself and does not compare them; qemu-img check counts references of whole clusters only.
"""

from __future__ import annotations

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.content import stream_rule
from qcow2inspect.survey.streams import StreamFault

__all__ = ["RULE"]

RULE = stream_rule(
    __name__,
    "QCOW-CMP-OVERLAP",
    Severity.ERROR,
    fault=StreamFault.OVERLAP,
    says="bytes of the stream are needed by another stream too",
    category=Category.CORRUPTION,
)
