"""Block devices that share bytes: a disk and its partitions, a volume and what it is made of, a loop and its file.

::

    file <-- loop0 <-- loop0p1 <-- dm-0        writing to any of them may change what is read from any other
                   <-- loop0p2                 but not from one partition to the next
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from qcow2inspect.source.shield import identities_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qcow2inspect.evidence import Identity

__all__ = ["kin_of"]

_DEVICES = "/sys/dev/block"


def kin_of(number: int) -> tuple[set[int], set[Identity]]:
    """All that shares bytes with a block device: numbers of devices, itself included, and the files of loop devices.

    Args:
        number: that of the device, as ``st_rdev`` has it.
    """
    devices = _reached(number, _below) | _reached(number, _above)
    files: set[Identity] = set()
    for device in devices:
        with contextlib.suppress(OSError, ValueError):
            files.update(identities_of(os.stat(_read(f"{_place(device)}/loop/backing_file"))))
    return devices, files


def _reached(number: int, step: Callable[[str], Iterator[str]]) -> set[int]:
    found, todo = {number}, [number]
    while todo:
        for place in step(_place(todo.pop())):
            with contextlib.suppress(OSError, ValueError):
                major, minor = map(int, _read(f"{place}/dev").split(":"))
                device = os.makedev(major, minor)
                todo += [device] if device not in found else []
                found.add(device)
    return found


def _below(place: str) -> Iterator[str]:
    """What a device lies on: the disk of a partition, the parts of a volume."""
    if os.path.exists(f"{place}/partition"):
        yield os.path.dirname(place)
    yield from _entries(f"{place}/slaves")


def _above(place: str) -> Iterator[str]:
    """What lies on a device: its partitions, volumes that it is a part of."""
    yield from (entry for entry in _entries(place) if os.path.exists(f"{entry}/partition"))
    yield from _entries(f"{place}/holders")


def _place(number: int) -> str:
    return os.path.realpath(f"{_DEVICES}/{os.major(number)}:{os.minor(number)}")


def _entries(folder: str) -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from (os.path.join(folder, name) for name in os.listdir(folder))


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read().strip("\n")
