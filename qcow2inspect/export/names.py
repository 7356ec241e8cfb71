"""Names: of the output, of its parts, and of the files beside it."""

from __future__ import annotations

import os
import stat

from qcow2inspect.errors import CannotExport
from qcow2inspect.units import human_size

__all__ = [
    "STDOUT",
    "is_device",
    "journal_of",
    "json_of",
    "manifest_names",
    "map_of",
    "part_names",
    "pieces_of",
    "sidecars",
]

STDOUT = "-"
"""The name that means standard output."""

_MOST_PARTS = 10_000


def journal_of(path: str) -> str:
    """Name of the journal of an output."""
    return f"{path}.journal"


def map_of(path: str) -> str:
    """Name of the ddrescue map beside an output."""
    return f"{path}.map"


def json_of(path: str) -> str:
    """Name of the list of troubles beside an output."""
    return f"{path}.errors.json"


def pieces_of(path: str) -> str:
    """Name of the list of pieces beside a mapped-only output."""
    return f"{path}.pieces"


def manifest_names(path: str) -> tuple[str, str]:
    """Names of the manifest beside an output, as JSON and as text."""
    return f"{path}.manifest.json", f"{path}.manifest.txt"


def part_names(path: str, size: int, split: int) -> list[str]:
    """Names of the files that make the output.

    Raises:
        CannotExport: there would be too many.
    """
    if not split:
        return [path]
    count = max(1, -(-size // split))
    if count > _MOST_PARTS:
        what = f"parts of {human_size(split)} would be {count:,} files, more than {_MOST_PARTS:,}"
        raise CannotExport(what, hint="choose larger parts")
    digits = max(3, len(str(count)))
    return [f"{path}.{number:0{digits}}" for number in range(1, count + 1)]


def is_device(path: str) -> bool:
    """True if ``path`` is a block device."""
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def sidecars(path: str) -> list[str]:
    """Names of everything that may lie beside a finished output."""
    return [map_of(path), json_of(path), pieces_of(path), *manifest_names(path)]
