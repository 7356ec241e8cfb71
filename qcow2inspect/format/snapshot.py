"""The snapshot table: entries of variable length, each starting at a multiple of 8 bytes.

::

    | fixed part, 40 bytes | extra data | id | name | padding to 8 |

Spec: Snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass

from qcow2inspect.format.header import utc
from qcow2inspect.layout.node import Node
from qcow2inspect.layout.structure import Structure, brief, printable, u16, u32, u64
from qcow2inspect.units import GuestOffset, HostOffset, HostRange, exact_size

__all__ = ["Snapshot", "SnapshotEntry", "SnapshotExtra", "read_snapshot"]


class SnapshotEntry(Structure):
    """The fixed part of a snapshot table entry."""

    l1_table_offset: HostOffset = u64(0, "Where the L1 table of the snapshot starts")
    l1_size: int = u32(8, "Number of entries of the snapshot's L1 table")
    id_size: int = u16(12, "Length of the id in bytes")
    name_size: int = u16(14, "Length of the name in bytes")
    date_sec: int = u32(16, "Time of the snapshot, seconds since 1970", show=lambda n: f"{n} ({utc(n)})")
    date_nsec: int = u32(20, "Nanoseconds of the time of the snapshot")
    vm_clock_nsec: int = u64(24, "Time that the guest had been running, in nanoseconds")
    vm_state_size: int = u32(32, "Size of the VM state in bytes; 0 if there is none")
    extra_data_size: int = u32(36, "Length of the extra data in bytes")


class SnapshotExtra(Structure):
    """The extra data that the specification knows; version 3 images have at least the first 16 bytes."""

    vm_state_size: int = u64(0, "Size of the VM state in bytes; replaces the 32-bit field", show=exact_size)
    disk_size: GuestOffset = u64(8, "Virtual disk size of the snapshot in bytes", show=exact_size)
    icount: int = u64(16, "Instruction count of record and replay; all ones if there is none")


_ROWS = {row.name: row for row in SnapshotEntry.ROWS}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One entry of the snapshot table, taken apart when it is looked at: there may be 65,536, of 64 MiB in all.

    Attributes:
        at: host offset of the entry.
        stored: its bytes, without the padding behind them.
    """

    at: HostOffset
    stored: bytes

    @property
    def entry(self) -> SnapshotEntry:
        """The fixed part."""
        return SnapshotEntry.parse(self.stored)

    @property
    def extra(self) -> SnapshotExtra:
        """The known extra data; absent fields are zero."""
        known = self.stored[SnapshotEntry.SIZE : SnapshotEntry.SIZE + min(self.extra_size, SnapshotExtra.SIZE)]
        return SnapshotExtra.parse(known.ljust(SnapshotExtra.SIZE, b"\0"))

    @property
    def extra_size(self) -> int:
        """Bytes of extra data that are stored (may be more or fewer than the known 24)."""
        return self._number("extra_data_size")

    @property
    def id(self) -> bytes:
        """Unique id, raw bytes."""
        start = SnapshotEntry.SIZE + self.extra_size
        return self.stored[start : start + self._number("id_size")]

    @property
    def name(self) -> bytes:
        """Name, raw bytes."""
        return self.stored[len(self.stored) - self._number("name_size") :]

    @property
    def size(self) -> int:
        """Bytes of the entry, its padding included."""
        return -(-len(self.stored) // 8) * 8

    @property
    def vm_state_size(self) -> int:
        """Bytes of VM state, from the 64-bit field where it exists."""
        return self.extra.vm_state_size if self.extra_size >= 8 else self._number("vm_state_size")

    @property
    def disk_size(self) -> GuestOffset | None:
        """Virtual disk size when the snapshot was taken; None if the entry does not say."""
        return self.extra.disk_size if self.extra_size >= 16 else None

    @property
    def icount(self) -> int | None:
        """Instruction count; None if the entry has none."""
        if self.extra_size < 24 or self.extra.icount == (1 << 64) - 1:
            return None
        return self.extra.icount

    def _number(self, name: str) -> int:
        """One field of the fixed part; the others are left alone."""
        row = _ROWS[name]
        return int.from_bytes(self.stored[row.at : row.at + row.size], "big")

    @property
    def title(self) -> str:
        """Id and name for people, safe to print, long ones cut."""
        return f"{brief(self.id)} “{brief(self.name)}”"

    def nodes(self, path: str) -> list[Node]:
        """The fields of the entry; ``path`` is its address (``snap[0]``)."""
        at, spec, extra_size = int(self.at), "Snapshots", self.extra_size
        nodes = self.entry.nodes(at, path, "snapshot", spec)
        extra_at = at + SnapshotEntry.SIZE
        extra = self.extra.nodes(extra_at, f"{path}.extra", "snapshot", spec)
        nodes += [node for node in extra if node.where.end <= extra_at + extra_size]
        known = min(extra_size, SnapshotExtra.SIZE) // 8 * 8
        if extra_size > known:
            where = HostRange.at(extra_at + known, extra_size - known)
            nodes.append(
                _text("unknown_extra_data", path, where, f"{where.size} bytes", "Extra data of a newer program")
            )
        name_at = extra_at + extra_size
        nodes.append(_text("id", path, HostRange.at(name_at, len(self.id)), printable(self.id), "Unique id"))
        name_at += len(self.id)
        nodes.append(_text("name", path, HostRange.at(name_at, len(self.name)), printable(self.name), "Name"))
        return nodes


def _text(name: str, path: str, where: HostRange, shown: str, doc: str) -> Node:
    return Node(name, f"{path}.{name}", where, shown, doc, "Snapshots", "snapshot")


def read_snapshot(data: bytes, start: int, at: HostOffset) -> Snapshot:
    """Read the entry at ``data[start:]``, which lies at host offset ``at``.

    Raises:
        ValueError: ``data`` ends inside the entry.
    """
    entry = SnapshotEntry.parse(data[start : start + SnapshotEntry.SIZE])
    size = SnapshotEntry.SIZE + entry.extra_data_size + entry.id_size + entry.name_size
    if size > len(data) - start:
        raise ValueError(f"the snapshot table entry at {at} needs {size} bytes, {len(data) - start} are left")
    return Snapshot(at, data[start : start + size])
