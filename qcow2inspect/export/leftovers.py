"""What an export that was stopped leaves behind: looked at, or removed."""

from __future__ import annotations

import contextlib
import os

from qcow2inspect.errors import CannotExport
from qcow2inspect.export.journal import is_journal
from qcow2inspect.export.names import journal_of, part_names
from qcow2inspect.output import part_of

__all__ = ["discard", "forget_journal", "is_begun", "leftovers"]


def leftovers(path: str, size: int, split: int = 0) -> list[str]:
    """The unfinished files and the journal of an output that are there.

    Args:
        path: the output.
        size: bytes of the whole output.
        split: bytes of a part; 0 for one file.
    """
    try:
        names = [part_of(name) for name in part_names(path, size, split)]
    except CannotExport:  # so many parts are never begun
        return []
    return [name for name in (*names, journal_of(path)) if os.path.isfile(name) and not os.path.islink(name)]


def is_begun(path: str, size: int, split: int = 0) -> bool:
    """True if there is something of an output, finished or not, that an export could continue."""
    return any(os.path.lexists(name) or os.path.lexists(part_of(name)) for name in part_names(path, size, split))


def forget_journal(path: str) -> None:
    """Remove a journal beside which nothing lies any more.

    Raises:
        CannotExport: the file of that name is something else.
    """
    name = journal_of(path)
    if not os.path.lexists(name):
        return
    if not is_journal(name, or_empty=True):
        raise CannotExport(f"{name} is no journal of an export", hint="choose another name for the output")
    os.unlink(name)


def discard(path: str, size: int, split: int = 0) -> None:
    """Remove what an export that was stopped left behind."""
    for name in leftovers(path, size, split):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
