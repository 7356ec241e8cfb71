"""Residues: bytes of the file that no guest sees, or not the guest of today, and that are not zero.

Each kind has a name, by which it is asked for, and can be looked at as one view: its ranges one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.luks import SlotState
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.disk import Disk
from qcow2inspect.image.guard_luks import key_material
from qcow2inspect.image.mapping import Mapping
from qcow2inspect.image.support import alone
from qcow2inspect.image.view import HostParts
from qcow2inspect.survey.slack import find_slack
from qcow2inspect.survey.unseen import content_range
from qcow2inspect.units import GuestOffset, GuestRange, HostRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.image.image import Image
    from qcow2inspect.image.view import Extent
    from qcow2inspect.survey.deep import Deep
    from qcow2inspect.survey.survey import Survey
    from qcow2inspect.survey.usage import Stretches

__all__ = ["KINDS", "MOST_RANGES", "Residue", "find_residues"]

MOST_RANGES = 1 << 16
"""Ranges of one kind that are kept; the rest is counted."""

_STATES = 64
"""States whose entries are looked at one by one; sound images have fewer."""

KINDS = {
    "stale": "data under zero flags and in subclusters that are not allocated",
    "free": "content of clusters that nobody uses",
    "leaked": "clusters that are counted as used and that nothing leads to",
    "trailing": "content behind the last cluster in use",
    "tail": "bytes of the last cluster of a disk behind the end of the disk",
    "beyond": "clusters of entries behind the end of the disk",
    "compressed-slack": "bytes behind compressed streams",
    "header-slack": "bytes of the first cluster that belong to no structure",
    "table-slack": "bytes behind tables in their last cluster",
    "padding": "padding, and data of unknown header extensions and fields",
    "late-refcounts": "refcounts of clusters past the end of the file",
    "key-slots": "key material of key slots that are not in use",
    "plaintext": "compressed clusters of an encrypted image, which are not encrypted",
    "vm-state": "state of virtual machines, memory included, that snapshots keep",
    "snapshot-only": "clusters that only snapshots use",
    "shared": "clusters that snapshots and the active state share",
}
"""Name -> what it is."""


@dataclass(frozen=True)
class Residue:
    """One kind of residue.

    Attributes:
        name: its name, one of :data:`KINDS`.
        ranges: where it lies, ascending in most kinds; the first :data:`MOST_RANGES`.
        count: how many ranges there are.
        size: bytes of all of them.
    """

    name: str
    ranges: tuple[HostRange, ...]
    count: int
    size: int

    @property
    def title(self) -> str:
        """What it is, in words."""
        return KINDS[self.name]

    @property
    def is_whole(self) -> bool:
        """True if all of its ranges were kept."""
        return len(self.ranges) == self.count

    def view(self, image: Image) -> HostParts:
        """The bytes of all kept ranges, one after the other."""
        return HostParts(image.source, self.ranges, f"{image.name} ({self.name})", image.assumed)


def find_residues(survey: Survey, deep: Deep) -> list[Residue]:
    """All kinds of residue that an image has.

    Args:
        survey: the facts from its tables.
        deep: what a look at its content said; it found some of them.

    Raises:
        CannotRead: the image file cannot be read.
    """
    slack = find_slack(survey).content
    finders: dict[str, Callable[[], Iterator[HostRange]]] = {
        "stale": lambda: iter(deep.stale.ranges),
        "free": lambda: iter(deep.free.ranges),
        "leaked": lambda: _clusters(survey, lambda part: (part.references == 0) & (part.stored > 0)),
        "trailing": lambda: iter(deep.trailing.ranges),
        "tail": lambda: _tails(survey),
        "beyond": lambda: _beyond(survey),
        "compressed-slack": lambda: iter(deep.slack.ranges),
        "header-slack": lambda: (part for part in slack if _in_first(survey, part)),
        "table-slack": lambda: (part for part in slack if not _in_first(survey, part)),
        "padding": lambda: _padding(survey.image),
        "late-refcounts": lambda: _late_refcounts(survey),
        "key-slots": lambda: _key_slots(survey.image),
        "plaintext": lambda: _plaintext(survey),
        "vm-state": lambda: _vm_states(survey),
        "snapshot-only": lambda: _clusters(survey, _only_snapshots),
        "shared": lambda: _clusters(survey, lambda part: (part.active > 0) & (part.snapshots > 0)),
    }
    found = [_residue(name, finders[name](), survey.image) for name in KINDS]
    return [residue for residue in found if residue.count]


def _residue(name: str, ranges: Iterable[HostRange], image: Image) -> Residue:
    """The parts of some ranges that the file holds."""
    inside = (part.clip(0, image.end) for part in ranges)
    kept: list[HostRange] = []
    count = size = 0
    for part in filter(None, inside):
        count += 1
        size += part.size
        if count <= MOST_RANGES:
            kept.append(part)
    return Residue(name, tuple(kept), count, size)


def _in_first(survey: Survey, part: HostRange) -> bool:
    return part.start < survey.image.geometry.cluster_size


def _only_snapshots(part: Stretches) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (part.metadata + part.active + part.packed == 0) & (part.snapshots > 0)
    return found


def _clusters(survey: Survey, is_wanted: Callable[[Stretches], npt.NDArray[np.bool_]]) -> Iterator[HostRange]:
    """Neighbouring clusters with some property, as one range."""
    import numpy as np

    bits, last = survey.image.geometry.cluster_bits, HostRange.at(0, 0)
    for part in survey.usage.stretches() if survey.usage else ():
        for row in np.flatnonzero(is_wanted(part)).tolist():
            start, end = int(part.start[row]) << bits, int(part.end[row]) << bits
            if last.end == start and last:
                last = HostRange.at(last.start, end - last.start)
                continue
            if last:
                yield last
            last = HostRange.at(start, end - start)
    if last:
        yield last


def _nonzero(image: Image, ranges: Iterable[HostRange]) -> Iterator[HostRange]:
    """The parts that are not zero, from the first such byte to the last."""
    for part in ranges:
        content = content_range(image, part.clip(0, image.end))
        if content is not None:
            yield content


# -- tables -----------------------------------------------------------------------------------------------------


def _entries(survey: Survey, mapping: Mapping, start: int, end: int) -> Iterator[Extent]:
    """The extents of guest bytes of a state, past the end of its disk too; none if QEMU would not read it."""
    longer = Mapping(mapping.prefix, mapping.title, mapping.l1, -(-end // SECTOR) * SECTOR, mapping.snapshot)
    try:
        disk = Disk(survey.image, longer, alone(survey.image), lenient=True)
    except Qcow2InspectError:
        return
    yield from islice(disk.extents(GuestRange(GuestOffset(start), GuestOffset(end))), MOST_RANGES)


def _tails(survey: Survey) -> Iterator[HostRange]:
    """What the last clusters hold behind the ends of the disks."""
    size = survey.image.geometry.cluster_size
    tails = set()
    for mapping in survey.states[:_STATES] if not survey.image.has_data_file else ():
        end = -(-mapping.size // size) * size
        for extent in _entries(survey, mapping, mapping.size, end) if mapping.size < end else ():
            if extent.kind is ClusterType.NORMAL and extent.host is not None:
                tails.add((int(extent.host.start), extent.host.size))
    yield from _nonzero(survey.image, (HostRange.at(start, length) for start, length in sorted(tails)))


def _beyond(survey: Survey) -> Iterator[HostRange]:
    """Host ranges of entries of the active state behind the last cluster of its disk."""
    geometry, mapping = survey.image.geometry, survey.tree.active
    columns = [column for column in survey.l1_columns if not column.number]
    end = len(columns[0]) * geometry.l2_span if columns else 0
    start = -(-mapping.size // geometry.cluster_size) * geometry.cluster_size
    if start < end and not survey.image.has_data_file:
        yield from (extent.host for extent in _entries(survey, mapping, start, end) if extent.host is not None)


def _vm_states(survey: Survey) -> Iterator[HostRange]:
    span = survey.image.geometry.l2_span
    for mapping in survey.states[1:_STATES]:
        size = mapping.snapshot.vm_state_size if mapping.snapshot else 0
        start = -(-mapping.size // span) * span
        end = min(start + size, len(mapping.l1) * span)
        if start < end:
            yield from (extent.host for extent in _entries(survey, mapping, start, end) if extent.host is not None)


def _late_refcounts(survey: Survey) -> Iterator[HostRange]:
    """Stored refcounts of clusters that the file does not have."""
    from qcow2inspect.survey.faults import Fault

    for span in survey.faults.first(Fault.PAST_END):
        first, last = survey.image.refcount_where(span.start), survey.image.refcount_where(span.end - 1)
        if first is not None and last is not None and last.end > first.start:
            yield HostRange.at(first.start, last.end - first.start)


# -- structures -------------------------------------------------------------------------------------------------


def _padding(image: Image) -> Iterator[HostRange]:
    """Padding of the header, of extensions and of entries; data of unknown extensions and fields."""
    from qcow2inspect.format.extensions.unknown import Unknown
    from qcow2inspect.format.header import Header

    header = image.header
    if header.version >= 3:
        row = Header.row("padding")
        yield from _nonzero(image, [HostRange.at(row.at, row.size).clip(0, header.header_length)])
        length = min(header.header_length, image.geometry.cluster_size)
        yield from _nonzero(image, [HostRange.at(Header.SIZE, max(0, length - Header.SIZE))])
    for extension in image.extensions.extensions:
        start = extension.data_at if isinstance(extension, Unknown) else extension.data_at + len(extension.data)
        yield from _nonzero(image, [HostRange.at(start, extension.where.end - start)])
    for snapshot in image.snapshots:
        known = min(snapshot.extra_size, snapshot.extra.SIZE)
        start = snapshot.at + snapshot.entry.SIZE
        yield from _nonzero(image, [HostRange.at(start + known, snapshot.extra_size - known)])
        end = start + snapshot.extra_size + len(snapshot.id) + len(snapshot.name)
        yield from _nonzero(image, [HostRange.at(end, snapshot.at + snapshot.size - end)])
    for bitmap in image.bitmaps:
        end = bitmap.at + bitmap.entry.SIZE + bitmap.entry.extra_data_size + len(bitmap.name)
        yield from _nonzero(image, [HostRange.at(end, bitmap.at + bitmap.size - end)])


def _key_slots(image: Image) -> Iterator[HostRange]:
    if image.luks is None or any(obstacle.code == "QCOW-CRY-LUKS-BAD" for obstacle in image.obstacles):
        return
    slots = enumerate(image.luks.slots)
    unused = [key_material(image.luks, index) for index, slot in slots if slot.active is SlotState.DISABLED]
    yield from _nonzero(image, unused)


def _plaintext(survey: Survey) -> Iterator[HostRange]:
    is_encrypted = survey.image.header.crypt_method is not CryptMethod.NONE
    for mapping in survey.states[:_STATES] if is_encrypted else ():
        for extent in _entries(survey, mapping, 0, mapping.size):
            if extent.kind is ClusterType.COMPRESSED and extent.host is not None:
                yield extent.host
