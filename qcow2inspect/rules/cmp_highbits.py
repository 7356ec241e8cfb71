"""A compressed cluster has an offset that no other cluster can have.

All other offsets of the format have 56 bits. With small clusters the entry of a compressed cluster has room for more,
and some of these bits are set: no file is that long, the compressed data cannot be there.

What else could explain it: damage to the upper bits of the entry; a compressed flag set by damage in an entry that was
none.

QEMU takes the bits for part of the offset and fails reads of the cluster with an I/O error; qemu-img check counts a
corruption.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-CMP-HIGHBITS",
    Severity.WARNING,
    odd=Odd.CMP_HIGHBITS,
    says="{count} compressed cluster{s} with an offset of more than 56 bits",
    spec="Compressed Clusters Descriptor",
)
