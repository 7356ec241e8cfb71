"""The table of feature names, for messages of programs that do not know a feature."""

from __future__ import annotations

from functools import cached_property

from qcow2inspect.format.extensions.base import SPEC, HeaderExtension
from qcow2inspect.layout.node import Node
from qcow2inspect.layout.openenum import OpenEnum
from qcow2inspect.layout.structure import Structure, blob, printable, u8
from qcow2inspect.units import HostRange

__all__ = ["KNOWN_FEATURES", "MAX_NAMES", "FeatureName", "FeatureNames", "FeatureType"]


class FeatureType(OpenEnum):
    """Which feature bitmap a name belongs to."""

    INCOMPATIBLE = 0
    COMPATIBLE = 1
    AUTOCLEAR = 2


KNOWN_FEATURES = {
    (FeatureType.INCOMPATIBLE, 0): "dirty bit",
    (FeatureType.INCOMPATIBLE, 1): "corrupt bit",
    (FeatureType.INCOMPATIBLE, 2): "external data file",
    (FeatureType.INCOMPATIBLE, 3): "compression type",
    (FeatureType.INCOMPATIBLE, 4): "extended L2 entries",
    (FeatureType.COMPATIBLE, 0): "lazy refcounts",
    (FeatureType.AUTOCLEAR, 0): "bitmaps",
    (FeatureType.AUTOCLEAR, 1): "raw external data",
}
"""The names that QEMU writes for the features of this specification."""


class FeatureName(Structure):
    """One entry of the feature name table. Spec: Feature name table."""

    type: FeatureType = u8(0, "Which feature bitmap")
    bit: int = u8(1, "Bit number in that bitmap")
    name: bytes = blob(2, 46, "Feature name, padded with zeros")


MAX_NAMES = 1024
"""Feature names that are looked at; there are 192 feature bits."""


class FeatureNames(HeaderExtension):
    """Feature name table. Spec: Header extensions, 0x6803f857; Feature name table."""

    MAGIC = 0x6803F857
    TITLE = "feature name table"
    DOC = "Names of feature bits, for messages about features that a program does not know"

    @cached_property
    def names(self) -> tuple[FeatureName, ...]:
        """The whole entries, at most :data:`MAX_NAMES`."""
        size = FeatureName.SIZE
        count = min(MAX_NAMES, len(self.data) // size)
        return tuple(FeatureName.parse(self.data[at : at + size]) for at in range(0, count * size, size))

    def name_of(self, kind: FeatureType, bit: int) -> str | None:
        """The name that the image gives to a feature bit, safe to print; None if it gives none."""
        for entry in self.names:
            if entry.type == kind and entry.bit == bit:
                return printable(entry.name.rstrip(b"\0"))
        return None

    @property
    def shown(self) -> str:
        """Number of names."""
        more = len(self.data) // FeatureName.SIZE - len(self.names)
        return f"{len(self.names)} names" + (f", and {more:,} more, not shown" if more else "")

    def data_nodes(self, path: str) -> list[Node]:
        """One node for each name."""
        return [self._node(index, entry, f"{path}.name[{index}]") for index, entry in enumerate(self.names)]

    def _node(self, index: int, entry: FeatureName, path: str) -> Node:
        at = self.data_at + index * FeatureName.SIZE
        return Node(
            name=f"{entry.type.name.lower()} bit {entry.bit}",
            path=path,
            where=HostRange.at(at, FeatureName.SIZE),
            shown=printable(entry.name.rstrip(b"\0")),
            doc=self.DOC,
            spec=SPEC,
            kind="extension",
            children=lambda: entry.nodes(at, path, "extension", SPEC),
        )
