"""The image has no refcount table.

refcount_table_clusters is 0. Which clusters are in use is not recorded, so that no program may write to the image;
reading guest data does not need it.

What else could explain it: an image written by a program that never meant it to be changed.

QEMU refuses the image: "Image does not contain a reference count table"; qemu-img check opens it and can rebuild.
"""

from __future__ import annotations

from qcow2inspect.findings import Severity
from qcow2inspect.rules.base import refusal_rule

__all__ = ["RULE"]

RULE = refusal_rule(__name__, "QCOW-HDR-RT-NONE", Severity.ERROR, spec="Host cluster management")
