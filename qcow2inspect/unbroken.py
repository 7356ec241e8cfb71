"""Short stretches of work that no signal breaks off, so that whoever cleans up knows of what was just made.

The command line asks :func:`is_unbroken` before it ends a command for a signal, and has the signal come again later.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_unbroken", "unbroken"]


class _Stretches(threading.local):
    """How many stretches a thread is in; signals come to the main thread only."""

    depth = 0


_stretches = _Stretches()


@contextmanager
def unbroken() -> Iterator[None]:
    """A stretch of a few milliseconds at most."""
    _stretches.depth += 1
    try:
        yield
    finally:
        _stretches.depth -= 1


def is_unbroken() -> bool:
    """True if this thread is in such a stretch."""
    return _stretches.depth > 0
