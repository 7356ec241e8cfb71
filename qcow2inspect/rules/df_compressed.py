"""A compressed cluster in an image with an external data file.

The specification forbids it, because compressed data would lie neither here nor there.

What else could explain it: the data file feature bit was set by hand; an overwritten table.

QEMU fails reads of the cluster with an I/O error; qemu-img check counts a corruption.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-DF-COMPRESSED",
    Severity.ERROR,
    odd=Odd.DATA_FILE,
    says="{count} compressed cluster{s} in an image with an external data file",
    spec="Compressed Clusters Descriptor",
)
