"""Odd entries of L1 tables, L2 tables and the refcount table: which kinds there are, and the first of each kind."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qcow2inspect.image.tree import Mapping

__all__ = ["KEPT", "Odd", "OddEntry"]

KEPT = 4096
"""Odd entries of one kind that are kept with their place; the rest is counted."""


class Odd(IntFlag):
    """What is odd about an entry of an L1 table, L2 table or refcount table."""

    L1_RESERVED = 1 << 0
    """A reserved bit of an L1 entry is set."""
    L1_UNALIGNED = 1 << 1
    """An L1 entry points to no multiple of the cluster size."""
    L1_EOF = 1 << 2
    """An L1 entry points to an L2 table that the file does not hold whole."""
    L1_FLAGS_ONLY = 1 << 3
    """An L1 entry has flags but no offset."""
    L2_RESERVED = 1 << 4
    """A reserved bit of an L2 entry is set."""
    L2_UNALIGNED = 1 << 5
    """A normal L2 entry points to no multiple of the cluster size."""
    L2_PREALLOC_UNALIGNED = 1 << 6
    """A zero-alloc L2 entry points to no multiple of the cluster size."""
    L2_ZERO_V2 = 1 << 7
    """The zero flag is set in a version 2 image."""
    L2_EOF = 1 << 8
    """A normal or zero-alloc L2 entry points past the end of the file."""
    L2_COPIED_ONLY = 1 << 9
    """An L2 entry has the COPIED flag but no offset."""
    CMP_EOF = 1 << 10
    """A compressed run starts past the end of the file."""
    CMP_COPIED = 1 << 11
    """The COPIED flag of a compressed cluster is set."""
    SUBCLUSTERS = 1 << 12
    """The subcluster allocation bitmap contradicts itself or the entry."""
    DATA_FILE = 1 << 13
    """A compressed cluster in an image with an external data file, which must not have any."""
    RT_RESERVED = 1 << 14
    """A reserved bit of a refcount table entry is set."""
    RT_UNALIGNED = 1 << 15
    """A refcount table entry points to no multiple of the cluster size."""
    RT_EOF = 1 << 16
    """A refcount table entry points past the end of the file."""
    L2_COPIED = 1 << 17
    """The COPIED flag of an active L2 entry says something else than the refcount of its cluster (in this file)."""
    L1_COPIED = 1 << 18
    """The COPIED flag of an active L1 entry says something else than the refcount of its L2 table."""
    CMP_BITMAP = 1 << 19
    """A compressed entry with a subcluster allocation bitmap."""
    EXT_BIT0 = 1 << 20
    """Bit 0 of an extended L2 entry is set."""
    ALLOC_NOHOST = 1 << 21
    """A bitmap with allocated subclusters in an entry without a host cluster."""
    CMP_HIGHBITS = 1 << 22
    """A compressed run starts beyond the 56 bits that any other offset has."""
    DF_OFFSET = 1 << 23
    """An entry leads to another place of the external data file than that of its guest cluster."""
    DF_COPIED = 1 << 24
    """An entry that leads into the external data file has no COPIED flag."""
    L2_EOF_PARTIAL = 1 << 25
    """A normal L2 entry leads to a cluster that starts in the file and ends behind its end."""


@dataclass(frozen=True, slots=True)
class OddEntry:
    """One odd entry.

    Attributes:
        mapping: the mapping it belongs to; None for the refcount table.
        l1_index: index in the L1 table; in the refcount table if ``mapping`` is None.
        l2_index: index in the L2 table; None for an entry of an L1 or refcount table.
        raw: the entry as stored (its first 64 bits).
    """

    mapping: Mapping | None
    l1_index: int
    l2_index: int | None
    raw: int
