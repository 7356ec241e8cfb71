"""An L2 entry leads to another place of the external data file than that of its guest cluster.

In an external data file each guest cluster lies at its own guest offset and nowhere else. An entry that names another
place contradicts that: whether the place or the entry is right cannot be told from here, so the cluster is not read.

What else could explain it: a damaged entry; a table of an image without a data file whose feature bit was set by hand;
an attempt to show a guest one part of the data file at two places.

QEMU fails reads of the cluster with an I/O error; qemu-img check does not compare the two offsets.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.odd import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-DF-OFFSET",
    Severity.ERROR,
    odd=Odd.DF_OFFSET,
    says="{count} L2 entr{ies} leading to another place of the external data file than that of the guest cluster",
    spec="Standard Cluster Descriptor",
)
