"""Host cluster management: one reference count for every host cluster.

The refcount table holds offsets of refcount blocks; a block holds counts of 1 to 64 bits. Counts narrower than a
byte are packed with the least significant bits first (:mod:`qcow2inspect.layout.packed`).

Spec: Host cluster management.
"""

from __future__ import annotations

from qcow2inspect.layout.word import R, Word, offset, reserved
from qcow2inspect.units import HostOffset

__all__ = ["RefcountTableEntry"]


class RefcountTableEntry(Word[R]):
    """An entry of the refcount table: where a refcount block lies. Spec: Refcount table entry."""

    refcount_block_offset = offset(9, 63, HostOffset, "Where the refcount block starts; 0 if all its counts are 0")
    reserved_low = reserved(0, 8)
