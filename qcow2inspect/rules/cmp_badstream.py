"""A compressed cluster does not inflate.

The stream is broken or cut off: the guest cluster cannot be read. What comes out before the place where it breaks can
be salvaged, but the stream has no checksum and the last of these bytes may be wrong too.

What else could explain it: the entry was damaged rather than the stream and leads to the wrong place; clusters were
overwritten because their refcount was wrong.

QEMU fails reads of the cluster with an I/O error; qemu-img check does not look at content and stays silent.
"""

from __future__ import annotations

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.content import stream_rule
from qcow2inspect.survey.streams import StreamFault

__all__ = ["RULE"]

RULE = stream_rule(
    __name__,
    "QCOW-CMP-BADSTREAM",
    Severity.ERROR,
    fault=StreamFault.BROKEN,
    says="the stream is broken, the data cannot be read",
    category=Category.CORRUPTION,
)
