"""The case folder: what was done to which evidence, in a log that cannot be edited unnoticed; notes, marks, outputs."""

from __future__ import annotations

from qcow2inspect.case.folder import Case, Kept
from qcow2inspect.case.log import Broken, head_of, read_log

__all__ = ["Broken", "Case", "Kept", "head_of", "read_log"]
