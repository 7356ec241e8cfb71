"""What all header extensions have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qcow2inspect.layout.node import Node
from qcow2inspect.layout.structure import Structure, printable, u32
from qcow2inspect.units import HostOffset, HostRange

__all__ = ["SPEC", "HeaderExtension", "Record"]

SPEC = "Header extensions"


class Record(Structure):
    """The first 8 bytes of a header extension. Spec: Header extensions."""

    magic: int = u32(0, "Kind of header extension", show=lambda n: f"{n:#010x}")
    length: int = u32(4, "Length of the data in bytes, without padding")


@dataclass(frozen=True)
class HeaderExtension:
    """One header extension.

    Attributes:
        at: host offset of the record.
        record: magic and length.
        data: the data, without padding.
    """

    MAGIC: ClassVar[int]
    """The kind's magic number."""
    TITLE: ClassVar[str]
    """The specification's name of the kind."""
    DOC: ClassVar[str]
    """What it is, in one sentence."""

    at: HostOffset
    record: Record
    data: bytes

    @property
    def data_at(self) -> HostOffset:
        """Host offset of the data."""
        return HostOffset(self.at + Record.SIZE)

    @property
    def where(self) -> HostRange:
        """The whole record, its padding included."""
        return HostRange.at(self.at, Record.SIZE + -(-len(self.data) // 8) * 8)

    @property
    def text(self) -> str:
        """The data as text that is safe to print."""
        return printable(self.data)

    @property
    def shown(self) -> str:
        """The content in a few words."""
        return f"{len(self.data)} bytes"

    def data_nodes(self, path: str) -> list[Node]:
        """The parts of the data, whose address is ``path``; one node for all of it unless the kind knows better."""
        if not self.data:
            return []
        where = HostRange.at(self.data_at, len(self.data))
        return [Node("data", path, where, self.shown, self.DOC, SPEC, "extension")]

    def nodes(self, path: str) -> list[Node]:
        """Magic, length, the parts of the data and the padding; ``path`` is the address (``ext[0]``)."""
        nodes = self.record.nodes(int(self.at), path, "extension", SPEC) + self.data_nodes(f"{path}.data")
        padding = HostRange.at(self.data_at + len(self.data), -len(self.data) % 8)
        if padding:
            nodes.append(Node("padding", f"{path}.padding", padding, "", "Padding to 8 bytes", SPEC, "extension"))
        return nodes
