"""A raw data file, and no data file.

The autoclear feature bit says that the external data file is a raw image; the incompatible feature bit says that there
is no external data file. One of the two is wrong, so that it is uncertain where guest data lies: here it is read from
this file.

What else could explain it: a damaged header; the bit for the data file was cleared by hand.

QEMU refuses the image: "data-file-raw requires a data file"; qemu-img info still shows it.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-DF-RAW-NOBIT", Severity.ERROR)
