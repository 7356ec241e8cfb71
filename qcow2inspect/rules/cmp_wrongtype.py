"""A compressed cluster has a stream of the other compression type.

The header says which type all compressed clusters of an image have. This stream is of the other one: the guest cluster
cannot be read as the image says, but its data is there and inflates with the other type.

What else could explain it: the header's compression type was edited or damaged, if all clusters are concerned; an entry
that leads to data of another image, if few are.

QEMU fails reads of the cluster with an I/O error; qemu-img check does not look at content and stays silent.
"""

from __future__ import annotations

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.content import stream_rule
from qcow2inspect.survey.streams import StreamFault

__all__ = ["RULE"]

RULE = stream_rule(
    __name__,
    "QCOW-CMP-WRONGTYPE",
    Severity.ERROR,
    fault=StreamFault.WRONG_TYPE,
    says="the stream is not of the type that the header names",
    category=Category.CORRUPTION,
)
