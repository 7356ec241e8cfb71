"""The LUKS version 1 header, as it lies in the image behind the full-disk-encryption header pointer.

Spec: Data encryption; LUKS1 On-Disk Format Specification 1.2.3, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from qcow2inspect.layout.node import Node
from qcow2inspect.layout.openenum import OpenEnum
from qcow2inspect.layout.structure import Structure, blob, u16, u32
from qcow2inspect.units import HostOffset, HostRange

__all__ = ["LUKS_MAGIC", "LuksHeader", "LuksHeaderFields", "LuksKeySlot", "SlotState", "read_luks"]

LUKS_MAGIC = b"LUKS\xba\xbe"
_SLOTS = 8


class SlotState(OpenEnum):
    """State of a key slot."""

    DISABLED = 0x0000DEAD
    ENABLED = 0x00AC71F3


class LuksHeaderFields(Structure):
    """The first 208 bytes of a LUKS version 1 header."""

    magic: bytes = blob(0, 6, "LUKS magic")
    version: int = u16(6, "LUKS version; 1 in qcow2 images")
    cipher_name: bytes = blob(8, 32, "Cipher name")
    cipher_mode: bytes = blob(40, 32, "Cipher mode and initialization vector generator")
    hash_spec: bytes = blob(72, 32, "Hash of the key derivation")
    payload_offset: int = u32(104, "Start of the payload in sectors; means nothing inside qcow2")
    key_bytes: int = u32(108, "Length of the master key in bytes")
    mk_digest: bytes = blob(112, 20, "Digest of the master key", show=lambda data: data.hex())
    mk_digest_salt: bytes = blob(132, 32, "Salt of the master key digest", show=lambda data: data.hex())
    mk_digest_iterations: int = u32(164, "Iterations of the master key digest")
    uuid: bytes = blob(168, 40, "UUID of the volume")


class LuksKeySlot(Structure):
    """One of the eight key slots."""

    active: SlotState = u32(0, "Whether the slot holds a key")
    iterations: int = u32(4, "Iterations of the key derivation")
    salt: bytes = blob(8, 32, "Salt of the key derivation", show=lambda data: data.hex())
    key_material_offset: int = u32(40, "Start of the key material in sectors, from the start of the LUKS header")
    stripes: int = u32(44, "Number of anti-forensic stripes")


@dataclass(frozen=True, slots=True)
class LuksHeader:
    """The whole header of 592 bytes.

    Attributes:
        at: host offset of the header.
        fields: its fixed part.
        slots: the eight key slots.
    """

    SIZE = LuksHeaderFields.SIZE + _SLOTS * LuksKeySlot.SIZE

    at: HostOffset
    fields: LuksHeaderFields
    slots: tuple[LuksKeySlot, ...]

    def encode(self) -> bytes:
        """The bytes on disk."""
        return self.fields.encode() + b"".join(slot.encode() for slot in self.slots)

    def nodes(self, path: str) -> list[Node]:
        """The fields, then one node for each key slot; ``path`` is the header's address (``luks``)."""
        return self.fields.nodes(int(self.at), path, "luks", "Data encryption") + [
            self._slot(index, path) for index in range(_SLOTS)
        ]

    def _slot(self, index: int, path: str) -> Node:
        at = self.at + LuksHeaderFields.SIZE + index * LuksKeySlot.SIZE
        slot, slot_path = self.slots[index], f"{path}.slot[{index}]"
        return Node(
            name=f"slot[{index}]",
            path=slot_path,
            where=HostRange.at(at, LuksKeySlot.SIZE),
            shown=slot.active.name.lower() if slot.active.known else slot.active.shown,
            doc="A key slot: the master key, encrypted with a key derived from a passphrase",
            spec="Data encryption",
            kind="luks",
            children=lambda: slot.nodes(at, slot_path, "luks", "Data encryption"),
        )


def read_luks(data: bytes, at: HostOffset) -> LuksHeader:
    """Read a LUKS header from its 592 bytes, which lie at host offset ``at``; any bytes parse.

    Raises:
        ValueError: ``data`` is too short.
    """
    slots = tuple(
        LuksKeySlot.parse(data[LuksHeaderFields.SIZE + index * LuksKeySlot.SIZE :]) for index in range(_SLOTS)
    )
    return LuksHeader(at, LuksHeaderFields.parse(data), slots)
