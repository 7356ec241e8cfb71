"""A compressed cluster past the end of the file.

The compressed data of the guest cluster is not in the file and cannot be inflated.

What else could explain it: the image file was cut off, for example by an unfinished copy or a full disk.

QEMU fails reads of the cluster with an I/O error; qemu-img check counts a corruption.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-CMP-EOF",
    Severity.ERROR,
    odd=Odd.CMP_EOF,
    says="{count} compressed cluster{s} starting past the end of the file: the data is missing",
    spec="Compressed Clusters Descriptor",
)
