"""The three standard streams, whoever closed them.

A program that is started with one of them closed gets its next file under that number: what is printed would go into
a file that was opened for something else, the evidence first of all. So nothing else is opened before all three are
taken.
"""

from __future__ import annotations

import os
import sys

__all__ = ["take_streams"]


def take_streams() -> None:
    """Put ``/dev/null`` where a standard stream is closed; printing to a closed standard output fails, as it shall."""
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest free number: this one
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115 - the same
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8")  # noqa: SIM115 - the same
