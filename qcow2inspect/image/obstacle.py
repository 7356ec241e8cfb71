"""One reason for which QEMU refuses an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qcow2inspect.units import HostRange

__all__ = ["Obstacle"]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One condition that an image must meet and does not.

    Attributes:
        code: code of the finding that reports it.
        field: name of the header field that is wrong, or that leads to what is wrong.
        value: what the wrong field holds.
        what: what is wrong, with the value and the limit.
        blocks_reading: True if guest data cannot be read because of it.
        path: address of the wrong field if it is not the header field.
        where: host bytes of the wrong field if it is no part of the structure that has an address.
    """

    code: str
    field: str
    value: int
    what: str
    blocks_reading: bool = True
    path: str = ""
    where: HostRange | None = None

    @property
    def place(self) -> str:
        """Where it is, for messages: ``header field l1_size``, ``ext[0].length``, ``offset 0x1234``."""
        if self.where is not None:
            return f"offset {self.where.start}"
        return self.path or f"header field {self.field}"
