"""The pointer to the full disk encryption header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.format.extensions.base import SPEC, HeaderExtension
from qcow2inspect.layout.structure import Structure, u64
from qcow2inspect.units import HostOffset, exact_size

if TYPE_CHECKING:
    from qcow2inspect.layout.node import Node

__all__ = ["EncryptionHeader", "EncryptionPointer"]


class EncryptionPointer(Structure):
    """The data of the encryption header pointer. Spec: Full disk encryption header pointer."""

    offset: HostOffset = u64(0, "Where the encryption header starts")
    length: int = u64(8, "Length of the encryption header in bytes", show=exact_size)


class EncryptionHeader(HeaderExtension):
    """Full disk encryption header pointer. Spec: Header extensions, 0x0537be77; Data encryption."""

    MAGIC = 0x0537BE77
    TITLE = "full disk encryption header pointer"
    DOC = "Where the LUKS header lies in this file"

    @property
    def pointer(self) -> EncryptionPointer | None:
        """Offset and length of the LUKS header; None if the data is too short."""
        return EncryptionPointer.parse(self.data) if len(self.data) >= EncryptionPointer.SIZE else None

    @property
    def shown(self) -> str:
        """Offset and length."""
        pointer = self.pointer
        return f"{pointer.offset}, {exact_size(pointer.length)}" if pointer else super().shown

    def data_nodes(self, path: str) -> list[Node]:
        """Offset and length."""
        if self.pointer is None:
            return super().data_nodes(path)
        return self.pointer.nodes(int(self.data_at), path, "extension", SPEC)
