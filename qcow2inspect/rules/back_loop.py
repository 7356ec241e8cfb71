"""The chain of backing files is a loop.

A file of the chain names, as its backing file, a file that stands earlier in the chain (device and inode are compared,
so that links do not help). What no file of the loop holds lies nowhere.

What else could explain it: a wrong rename or a wrong rebase. It is also how an image can be made to hang a program
that opens it.

QEMU 7.2 hangs when it opens such an image; only qemu-img info --backing-chain says that the chain is an infinite loop.
"""

from __future__ import annotations

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.layers import end_rule

__all__ = ["RULE"]

RULE = end_rule(__name__, "QCOW-BACK-LOOP", Severity.ERROR, Category.SECURITY)
