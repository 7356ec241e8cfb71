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

__all__ = ["ExtensionArea", "HeaderExtension", "Record", "Unknown", "known_extensions", "parse_extensions"]


@dataclass(frozen=True, slots=True)
class ExtensionArea:
    """What lies between the end of the header and the backing file name (or the end of cluster 0).

    Attributes:
        where: the whole area, half-open host range.
        extensions: the records in order, without the end marker.
        end_marker: host offset of the end marker; None if the area ends without one.
        overrun: the record, perhaps an end marker, that does not fit the area; None if there is none. Nothing after
            it is read.
    """

    where: HostRange
    extensions: tuple[HeaderExtension, ...]
    end_marker: HostOffset | None
    overrun: Record | None


@cache
def known_extensions() -> Mapping[int, type[HeaderExtension]]:
    """Magic -> class, for every kind that a module of this package declares."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {kind.MAGIC: kind for kind in HeaderExtension.__subclasses__() if kind is not Unknown}


def parse_extensions(cluster: bytes, start: int, end: int) -> ExtensionArea:
    """Read the records in ``cluster[start:end]``; any bytes parse.

    Args:
        cluster: the first cluster of the image (or what there is of it).
        start: host offset of the first record: the header length.
        end: host offset of the backing file name, or the cluster size if there is none.
    """
    end = min(end, len(cluster))
    area = HostRange.at(start, max(0, end - start))
    extensions: list[HeaderExtension] = []
    at = start
    while at < end:
        record = Record.parse(cluster[at : at + Record.SIZE].ljust(Record.SIZE, b"\0"))
        data_at = at + Record.SIZE
        if record.length > end - data_at:
            return ExtensionArea(area, tuple(extensions), None, record)
        if record.magic == 0:
            return ExtensionArea(area, tuple(extensions), HostOffset(at), None)
        kind = known_extensions().get(record.magic, Unknown)
        extensions.append(kind(HostOffset(at), record, cluster[data_at : data_at + record.length]))
        at = data_at + -(-record.length // 8) * 8
    return ExtensionArea(area, tuple(extensions), None, None)
