"""The three standard streams, whoever closed them, whatever characters they know.

A program that is started with one of them closed gets its next file under that number: what is printed would go into
a file that was opened for something else, the evidence first of all. So nothing else is opened before all three are
taken.

What a stream cannot encode is written in ASCII: quotation marks and dots as such, everything else escaped.
"""

from __future__ import annotations

import codecs
import io
import os
import sys

__all__ = ["take_streams"]


_ERRORS = "qcow2inspect.plain"
_DEFAULTS = ("strict", "surrogateescape", "backslashreplace")
"""What Python does with characters that a stream has no code for, unless the user has chosen something."""


def take_streams() -> None:
    """Put ``/dev/null`` where a standard stream is closed; printing to a closed standard output fails, as it shall.

    Printing never fails because of a character.
    """
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
    codecs.register_error(_ERRORS, _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in _DEFAULTS:
            stream.reconfigure(errors=_ERRORS)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that a stream has no code for, and where to go on."""
    from qcow2inspect.tui.glyphs import PLAIN  # few streams need it: start-up does not pay for it

    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end
