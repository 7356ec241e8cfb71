"""Assumptions: what stands in the place of metadata that is damaged.

An assumption is laid over the bytes of a structure when tables are read; the evidence is never written, and guest data,
hashes and hex dumps never see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qcow2inspect.units import GuestRange, HostRange

__all__ = ["NOTHING_ASSUMED", "Assumption", "Assumptions"]


@dataclass(frozen=True, slots=True)
class Assumption:
    """What is taken to stand somewhere.

    Attributes:
        name: the header field or the address of the entry: ``cluster_bits``, ``L1[3]``.
        where: which bytes of the image file.
        value: what is assumed.
        stored: what the file holds there.
        why: what speaks for it; empty if a person said so.
        doubt: guest bytes whose place on the disk is no more than likely; None if there are none.
    """

    name: str
    where: HostRange
    value: int
    stored: int
    why: str = ""
    doubt: GuestRange | None = None

    @property
    def data(self) -> bytes:
        """The bytes that are assumed."""
        return self.value.to_bytes(self.where.size, "big")

    @property
    def option(self) -> str:
        """How a command line says it."""
        return f"{self.name}={_number(self.value)}"

    def __str__(self) -> str:
        reason = f": {self.why}" if self.why else ""
        return f"{self.option} (stored is {_number(self.stored)}){reason}"


@dataclass(frozen=True, slots=True)
class Assumptions:
    """All assumptions about one image; where two meet, the later one counts."""

    all: tuple[Assumption, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.all)

    def over(self, offset: int, data: bytes) -> bytes:
        """Bytes of the image file from ``offset`` on, with what is assumed laid over them."""
        end = offset + len(data)
        touched = [one for one in self.all if one.where.start < end and offset < one.where.end]
        if not touched:
            return data
        patched = bytearray(data)
        for one in touched:
            low, high = max(offset, int(one.where.start)), min(end, int(one.where.end))
            patched[low - offset : high - offset] = one.data[low - one.where.start : high - one.where.start]
        return bytes(patched)

    @property
    def shown(self) -> str:
        """All of them in one line; empty if there are none."""
        words = [one.option for one in self.all[:_SHOWN]]
        more = len(self.all) - len(words)
        return ", ".join([*words, *([f"and {more:,} more"] if more else [])])

    @property
    def doubts(self) -> list[GuestRange]:
        """Guest bytes whose place is no more than likely, in order."""
        return sorted((one.doubt for one in self.all if one.doubt), key=lambda part: int(part.start))


_SHOWN = 6

NOTHING_ASSUMED = Assumptions()
"""The image is taken as it is."""


def _number(value: int) -> str:
    return f"{value:#x}" if value > 255 else str(value)
