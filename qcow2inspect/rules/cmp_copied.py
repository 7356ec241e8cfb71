"""The COPIED flag of a compressed cluster is set.

Compressed clusters must not have it. Readers ignore it; a writer that trusts it may overwrite clusters that other
compressed clusters share.

What else could explain it: an overwritten table.

QEMU reads on; qemu-img check counts a corruption.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import odd_rule
from qcow2inspect.survey.survey import Odd

__all__ = ["RULE"]

RULE = odd_rule(
    __name__,
    "QCOW-CMP-COPIED",
    Severity.WARNING,
    odd=Odd.CMP_COPIED,
    says="{count} compressed cluster{s} with the COPIED flag",
    spec="Compressed Clusters Descriptor",
)
