"""Which disk format the bytes of a file are, as far as their magic tells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qcow2inspect.source.protocol import Source

__all__ = ["probe"]

_MAGIC = (
    (0, b"QFI\xfb\0\0\0\x01", "qcow"),
    (0, b"QFI\xfb", "qcow2"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
    (0, b"QED\0", "qed"),
    (0, b"LUKS\xba\xbe\0\x01", "luks"),  # a LUKS2 volume is a raw disk to QEMU
    (0, b"Bochs Virtual HD Image", "bochs"),
    (0, b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n", "cloop"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
)
_DESCRIPTOR = re.compile(rb"(?:#[^\n]*\n| +\r?\n)*version=[123]\r?\n")  # of a VMDK in several files
_READ = 512


def probe(source: Source) -> str:
    """The format in QEMU's words; ``raw`` if no magic is known.

    Raises:
        CannotRead: the file cannot be read.
    """
    start = source.read_at(0, _READ)
    for at, magic, name in _MAGIC:
        if start[at : at + len(magic)] == magic:
            return name
    return "vmdk" if _DESCRIPTOR.match(start) else "raw"
