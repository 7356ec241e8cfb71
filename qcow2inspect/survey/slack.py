"""Slack: what is left of a structure's last cluster behind its end, and what of it is not zero."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qcow2inspect.format.extensions.bitmaps import Bitmaps
from qcow2inspect.format.extensions.encryption import EncryptionHeader
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.survey.claims import Owner
from qcow2inspect.survey.regions import bitmap_table
from qcow2inspect.units import HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.image import Image
    from qcow2inspect.survey.survey import Survey

__all__ = ["Slack", "find_slack"]

_APART = 16
"""Zero bytes that part two stretches of content."""
_MOST_READ = 64 << 20
_PIECE = 1 << 20
_WHOLE = (Owner.L2, Owner.L2_SNAPSHOT, Owner.REFCOUNT_TABLE, Owner.REFCOUNT_BLOCK, Owner.BITMAP_DATA)
"""What fills its clusters to the last byte."""


@dataclass
class Slack:
    """The slack of all metadata.

    Attributes:
        ranges: all of it, ascending and apart from each other.
        content: the parts that are not zero, and those that nobody looked at.
        unread: bytes that were not looked at: there are more than any sound image has, or they cannot be read.
    """

    ranges: list[HostRange] = field(default_factory=list)
    content: list[HostRange] = field(default_factory=list)
    unread: int = 0


def find_slack(survey: Survey) -> Slack:
    """The slack of an image whose tables were read.

    Raises:
        CannotRead: the image file cannot be read.
    """
    image, found = survey.image, Slack()
    left = _MOST_READ
    gaps = list(_gaps(sorted(_structures(survey)), image.geometry.cluster_size, image.end))
    for gap in _without_others(survey, gaps):
        found.ranges.append(gap)
        for part in image.source.data_ranges(gap):
            left -= part.size
            if left < 0:
                found.unread += part.size
                found.content.append(part)
            else:
                found.content.extend(_content(image, part))
    return found


def _structures(survey: Survey) -> Iterator[tuple[int, int]]:
    """Start and end of everything that need not fill its clusters, and that the survey counts as claimed."""
    image, front = survey.image, survey.tree.front
    for node in (front.header, *front.extensions.children(), *front.backing):
        yield int(node.where.start), int(node.where.end)
    for column in survey.l1_columns:
        yield column.mapping.l1.at, column.mapping.l1.at + 8 * len(column.mapping.l1)
    for snapshot in image.snapshots:
        yield snapshot.at, snapshot.at + snapshot.size
    extension = image.extension(EncryptionHeader)
    is_luks = image.header.crypt_method is CryptMethod.LUKS
    if is_luks and extension is not None and extension.pointer is not None:
        yield extension.pointer.offset, extension.pointer.offset + extension.pointer.length
    yield from _bitmaps(image)


def _bitmaps(image: Image) -> Iterator[tuple[int, int]]:
    extension = image.extension(Bitmaps)
    pointer = extension.pointer if extension else None
    if pointer is None or not image.header.autoclear_features.bitmaps:
        return
    yield pointer.bitmap_directory_offset, pointer.bitmap_directory_offset + pointer.bitmap_directory_size
    for bitmap in image.bitmaps:
        table = bitmap_table(image, bitmap)
        yield table.at, table.at + 8 * len(table)


def _gaps(parts: list[tuple[int, int]], cluster: int, limit: int) -> Iterator[HostRange]:
    """What parts leave of the clusters that they lie in."""
    reached = 0
    for start, end in [*((a, b) for a, b in parts if b > a and a < limit), (limit, limit)]:
        if start > reached:
            last = min(-(-reached // cluster) * cluster, start, limit)
            first = max(last, start // cluster * cluster)
            for low, high in ((reached, last), (first, start)):
                if low < high:
                    yield HostRange.at(low, high - low)
        reached = max(reached, end)


def _without_others(survey: Survey, gaps: list[HostRange]) -> Iterator[HostRange]:
    """The gaps in clusters that nothing claims as a whole."""
    import numpy as np

    usage = survey.usage
    if usage is None or not gaps:
        return
    clusters = np.array([gap.start for gap in gaps], dtype=np.int64) >> survey.image.geometry.cluster_bits
    claims = usage.metadata
    whole = np.isin(claims.owner, _WHOLE)
    start, end = claims.start[whole], (claims.start + claims.length)[whole]
    place = np.searchsorted(start, clusters, side="right") - 1
    taken = (place >= 0) & (clusters < np.append(end, 0)[place])
    rows = usage.at(clusters)
    taken |= (rows.active > 0) | (rows.snapshots > 0) | (rows.packed > 0) | (rows.metadata == 0)
    yield from (gap for gap, is_taken in zip(gaps, taken.tolist(), strict=True) if not is_taken)


def _content(image: Image, part: HostRange) -> Iterator[HostRange]:
    """The stretches of some bytes that are not zero; a few zeros inside belong to them."""
    import numpy as np

    for at in range(part.start, part.end, _PIECE):
        data = np.frombuffer(image.read(at, min(_PIECE, part.end - at)), dtype=np.uint8)
        places = np.flatnonzero(data)
        if not len(places):
            continue
        breaks = np.flatnonzero(np.diff(places) > _APART)
        starts, ends = places[np.append(0, breaks + 1)], places[np.append(breaks, len(places) - 1)]
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            yield HostRange.at(at + start, end - start + 1)
