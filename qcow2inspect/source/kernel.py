"""File systems that the kernel makes up: their files are its state, or a process, and call themselves regular ones."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["KERNELS_PLACES", "devices_of", "kernels_devices"]

KERNELS_PLACES = ("/proc/", "/sys/")
"""Where they are usually mounted."""

_TYPES = frozenset(
    b"proc sysfs cgroup cgroup2 debugfs tracefs securityfs configfs pstore efivarfs bpf binfmt_misc selinuxfs".split()
)


def kernels_devices() -> set[int]:
    """Their device numbers, wherever they are mounted; none on a system that cannot say."""
    return devices_of(_TYPES)


def devices_of(types: Collection[bytes]) -> set[int]:
    """The device numbers of all mounted file systems of some types; none on a system that cannot say."""
    found = set()
    with suppress(OSError), open("/proc/self/mountinfo", "rb") as mounts:
        for line in mounts:
            where, _, what = line.partition(b" - ")
            if what.split(b" ")[0] in types:
                major, _, minor = where.split(b" ")[2].partition(b":")
                found.add(os.makedev(int(major), int(minor)))
    return found
