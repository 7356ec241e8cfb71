"""Header extensions: records between the header and the backing file name, one module a kind.

A record is a 32-bit magic, a 32-bit length, the data, and padding to a multiple of 8 bytes. A record with magic 0
ends the list. A new kind is a new module here with one subclass of
:class:`~qcow2inspect.format.extensions.base.HeaderExtension`; nothing else needs to know.

Spec: Header extensions.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from qcow2inspect.format.extensions.base import HeaderExtension, Record
from qcow2inspect.format.extensions.unknown import Unknown
from qcow2inspect.units import HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MAX_EXTENSIONS",
    "ExtensionArea",
    "HeaderExtension",
    "Record",
    "Unknown",
    "known_extensions",
    "parse_extensions",
]

MAX_EXTENSIONS = 8192
"""Records that are looked at one by one; QEMU writes five at most."""


@dataclass(frozen=True, slots=True)
class ExtensionArea:
    """What lies between the end of the header and the backing file name (or the end of cluster 0).

    Attributes:
        where: the whole area, half-open host range.
        extensions: the records in order, without the end marker; of a great many the first :data:`MAX_EXTENSIONS`,
            and the last of each known kind, which is the one that counts.
        end_marker: host offset of the end marker; None if the area ends without one.
        overrun: the record, perhaps an end marker, that does not fit the area; None if there is none. Nothing after
            it is read.
        left_out: records that are not among ``extensions``, because there are too many.
    """

    where: HostRange
    extensions: tuple[HeaderExtension, ...]
    end_marker: HostOffset | None
    overrun: Record | None
    left_out: int = 0


@cache
def known_extensions() -> Mapping[int, type[HeaderExtension]]:
    """Magic -> class, for every kind that a module of this package declares."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {kind.MAGIC: kind for kind in HeaderExtension.__subclasses__() if kind is not Unknown}


def parse_extensions(cluster: bytes, start: int, end: int) -> ExtensionArea:
    """Read the records in ``cluster[start:end]``; any bytes parse.

    A record begins in the file, and goes on in zeros where the file ends: QEMU reads those there.

    Args:
        cluster: the first cluster of the image (or what there is of it).
        start: host offset of the first record: the header length.
        end: host offset of the backing file name, or the cluster size if there is none.
    """
    stored = min(end, len(cluster))
    found: list[tuple[int, Record]] = []
    late: dict[int, tuple[int, Record]] = {}
    at, count, known = start, 0, known_extensions()
    end_marker = overrun = None
    while at < stored and end_marker is None and overrun is None:
        head = cluster[at : at + Record.SIZE].ljust(Record.SIZE, b"\0")
        magic, length = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
        if length > end - at - Record.SIZE:
            overrun = Record.parse(head)
        elif magic == 0:
            end_marker = HostOffset(at)
        elif len(found) < MAX_EXTENSIONS:
            found.append((at, Record.parse(head)))
        elif magic in known:
            late[magic] = (at, Record.parse(head))
        count += end_marker is None and overrun is None
        at += Record.SIZE + -(-length // 8) * 8
    records = (*found, *sorted(late.values(), key=lambda row: row[0]))
    extensions = tuple(_extension(cluster, at, record) for at, record in records)
    last = max((int(extension.where.end) for extension in extensions), default=0)
    area = HostRange.at(start, max(0, min(end, max(stored, last)) - start))
    return ExtensionArea(area, extensions, end_marker, overrun, count - len(extensions))


def _extension(cluster: bytes, at: int, record: Record) -> HeaderExtension:
    kind = known_extensions().get(record.magic, Unknown)
    data_at = at + Record.SIZE
    return kind(HostOffset(at), record, cluster[data_at : data_at + record.length].ljust(record.length, b"\0"))
