"""Refcounts are stored for clusters past the end of the file.

The file was longer once, or should be: whatever stood in these clusters is not in this copy. Where entries point
there too, guest data is missing; where none does, it may have been freed without the refcount.

What else could explain it: an unfinished copy or download; a file that was cut by hand; preallocation that was not
finished.

QEMU does not look at them; qemu-img check stays silent.
"""

from __future__ import annotations

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.spans import refcount_rule
from qcow2inspect.survey.faults import Fault

__all__ = ["RULE"]

RULE = refcount_rule(
    __name__,
    "QCOW-REF-EOF",
    Severity.NOTE,
    fault=Fault.PAST_END,
    says="{clusters} past the end of the file with a stored refcount: {where}",
    category=Category.FORENSIC,
)
