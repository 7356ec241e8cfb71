"""The backing file cannot be opened.

The chain of backing files ends too early: a file that an image of it names is missing, may not be read, or is no
regular file. What the image itself holds stays readable; everything else reads as nothing until the file is there.

What else could explain it: the file was moved or renamed, which --backing NAME=PATH puts right; the image was copied
without its base; the examiner has no permission to read it.

QEMU refuses to open the image for reading data.
"""

from __future__ import annotations

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.layers import end_rule

__all__ = ["RULE"]

RULE = end_rule(__name__, "QCOW-BACK-MISSING", Severity.WARNING, Category.CORRUPTION)
