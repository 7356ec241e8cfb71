"""Refuses, inside of this process, whatever would change an evidence file.

Files that are open as a :class:`~qcow2inspect.source.file.FileSource` are known here by device and inode, so that a
hard link or a symbolic link is the same file. Python tells an audit hook of every opening, renaming, removing and so
on before it is done; :func:`raise_shield` puts one in place that raises for these files. It cannot be taken away.

What the hook does not see are system calls that do not go through Python: those of libraries in C, of child
processes, and openings relative to a folder's descriptor. For them there is :mod:`qcow2inspect.source.landlock`.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Any

from qcow2inspect.errors import CannotExport
from qcow2inspect.evidence import holds_any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qcow2inspect.evidence import Identity

__all__ = ["BLOCK_DEVICE", "identities_of", "is_raised", "raise_shield", "require_apart"]

BLOCK_DEVICE = -1
"""Stands in place of the device in the identity of a block device, whatever file it is reached by."""
_OPEN_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_TRUNC
_CHANGES: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((0, 2),),
    "os.truncate": ((0, None),),
    "os.utime": ((0, 3),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.chflags": ((0, None),),
    "os.setxattr": ((0, None),),
    "os.removexattr": ((0, None),),
    "fcntl.ioctl": ((0, None),),
    "mmap.__new__": ((0, None),),
}
"""Audit event -> where in its arguments paths or descriptors stand, and the descriptors of folders they start from."""

_raised = False


def raise_shield() -> None:
    """From now on, to the end of the process, evidence cannot be changed through Python."""
    global _raised  # noqa: PLW0603 - an audit hook is for ever, and one is enough
    if not _raised:
        _raised = True
        sys.addaudithook(_watch)


def is_raised() -> bool:
    """True if the hook is in place."""
    return _raised


def identities_of(status: os.stat_result) -> tuple[Identity, ...]:
    """All that tells whether another name means the same file; a block device is known by its number too."""
    own = (status.st_dev, status.st_ino)
    return (own, (BLOCK_DEVICE, status.st_rdev)) if stat.S_ISBLK(status.st_mode) else (own,)


def require_apart(name: str, identities: Iterable[Identity]) -> None:
    """Refuse an evidence file into which the shell has led our own output (``>> IMAGE``).

    Raises:
        CannotExport: standard output or standard error is the file.
    """
    for descriptor in (1, 2):
        if set(_identities(descriptor)) & set(identities):
            raise CannotExport(
                f"{name} is where the output of this command goes",
                why="evidence is never written to",
                hint="give the output another name",
            )


def _watch(event: str, args: tuple[Any, ...]) -> None:
    """The hook; it is called thousands of times, almost always with something else."""
    if event == "open":
        flags = args[2]
        if type(flags) is int and flags & _OPEN_TO_WRITE:
            _refuse(event, args[0], None)
    elif event in _CHANGES:
        for place, folder in _CHANGES[event]:
            _refuse(event, args[place], None if folder is None else args[folder])


def _refuse(event: str, path: Any, folder: int | None) -> None:
    """Raise if ``path`` means a file that is held."""
    if holds_any(lambda: _identities(path, folder)):
        what = event.removeprefix("os.")
        raise CannotExport(
            f"{os.fsdecode(path) if not isinstance(path, int) else f'file descriptor {path}'} is evidence: "
            f"“{what}” was refused",
            why="evidence is never changed",
            hint="choose another target",
        )


def _identities(path: Any, folder: int | None = None) -> Iterator[Identity]:
    try:
        yield from identities_of(os.stat(path, dir_fd=folder if folder is not None and folder >= 0 else None))
    except (OSError, ValueError, TypeError):  # no such file: nothing that could be evidence
        return
