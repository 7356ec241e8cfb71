"""File names that an image stores: what about them a program should not follow without asking."""

from __future__ import annotations

import re

from qcow2inspect.format.geometry import MAX_BACKING_NAME
from qcow2inspect.layout.structure import printable

__all__ = ["has_protocol", "is_absolute", "is_device", "is_traversal", "local_name", "odd_characters", "shown_name"]

_DEVICES = re.compile(rb"/+(dev|proc|sys)(/|$)")


def local_name(stored: bytes) -> bytes:
    """The name as QEMU takes it: up to the first NUL."""
    return stored.partition(b"\0")[0]


def shown_name(stored: bytes) -> str:
    """A name for a message, safe to print and no longer than a backing file name can be."""
    return printable(stored[:MAX_BACKING_NAME]) + ("..." if len(stored) > MAX_BACKING_NAME else "")


def has_protocol(name: bytes) -> bool:
    """True if QEMU would take the start of the name for a protocol (``nbd:``, ``json:``): a colon before any slash."""
    return re.match(rb"[^:/]*:", name) is not None


def is_device(name: bytes) -> bool:
    """True for names in the folders of devices and of the kernel."""
    return _DEVICES.match(name) is not None


def is_absolute(name: bytes) -> bool:
    """True for an absolute path of an ordinary file."""
    return name.startswith(b"/") and not is_device(name)


def is_traversal(name: bytes) -> bool:
    """True for a path that leaves the folder of the image through ``..``."""
    return not has_protocol(name) and b".." in name.split(b"/")


def odd_characters(stored: bytes) -> str:
    """What in a stored name is no plain text, in words; empty if all of it is."""
    if b"\0" in stored:
        return "a NUL byte"
    text = stored.decode("utf-8", "surrogateescape")
    if any(0xDC80 <= ord(char) <= 0xDCFF for char in text):
        return "bytes that are no UTF-8"
    return "" if text.isprintable() else "characters that cannot be printed"
