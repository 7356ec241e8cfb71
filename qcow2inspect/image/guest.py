"""What the guest disks of all versions do: look through the layers, and get the bytes of extents."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from qcow2inspect.errors import BadStream, Qcow2InspectError
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.cache import Cache
from qcow2inspect.image.extents import inside, joined, one_layer_down, through
from qcow2inspect.image.view import NOWHERE, clipped
from qcow2inspect.source.protocol import read_padded
from qcow2inspect.units import GuestRange, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.codec import Codec
    from qcow2inspect.image.support import Support
    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.source.protocol import Source

__all__ = ["Files", "GuestDisk"]

_INFLATED_KEPT = 1 << 22


@dataclass(frozen=True, slots=True)
class Files:
    """Where the bytes of an image lie.

    Attributes:
        image: the image file, which holds the compressed clusters.
        data: the file that holds the normal clusters; often the same.
        codec: how compressed clusters are inflated.
        cluster_size: bytes of a cluster.
    """

    image: Source
    data: Source
    codec: Codec
    cluster_size: int


class GuestDisk(ABC):
    """A guest disk made of layers; a version says how its tables are read.

    Args:
        name: what a person calls it.
        size: guest bytes as the image states them; rounded down to whole sectors, as QEMU does it.
        files: where the bytes lie.
        support: what lies behind the image, its key.
    """

    def __init__(self, name: str, size: int, files: Files, support: Support) -> None:
        self.name = name
        self.size = size // SECTOR * SECTOR
        self._files = files
        self._inflated: Cache[bytes] = Cache(_INFLATED_KEPT // files.cluster_size, self._inflate)
        self._backing, self._needs_backing = support.behind
        self._absent_as_zero = support.absent_as_zero and isinstance(support.backing, Qcow2InspectError)
        self._cipher, self._needs_key = support.key

    # -- what a version knows ---------------------------------------------------------------------------------

    @abstractmethod
    def _pieces(self, part: GuestRange) -> Iterator[Extent]:
        """Extents of this layer that cover ``part``, which is not empty, and perhaps more on both sides."""

    @abstractmethod
    def _stream(self, guest: int) -> tuple[str, HostRange]:
        """Address of the L2 entry of the compressed cluster at ``guest``, and where its stream lies."""

    # -- what follows -----------------------------------------------------------------------------------------

    @property
    def sources(self) -> tuple[Source, ...]:
        """The image file, its data file, and what lies behind."""
        files = self._files
        own = (files.image,) if files.data is files.image else (files.image, files.data)
        return own + (self._backing.sources if self._backing is not None else ())

    def extents(self, within: GuestRange | None = None) -> Iterator[Extent]:
        """The extents that cover ``within`` (the whole disk by default), in order, joined where they continue."""
        part = clipped(within, self.size)
        own = joined(inside(part, self._pieces(part))) if part else iter(())
        return own if self._backing is None else through(own, self._backing, part.end)

    def read_extent(self, extent: Extent) -> bytes:
        """The bytes of an extent of this disk.

        Raises:
            CannotRead, Damaged, NeedsFile, NeedsKey: they cannot be read.
        """
        if extent.error is not None:
            raise extent.error.with_traceback(None)  # many extents share it: what one read left must not pile up
        if extent.layer and self._backing is not None:
            return self._backing.read_extent(one_layer_down(extent))
        if extent.kind is ClusterType.NORMAL and extent.host_end != NOWHERE:
            return self._read_normal(extent)
        if extent.kind is not ClusterType.COMPRESSED:
            return bytes(extent.size)
        start = extent.start % self._files.cluster_size
        return self._inflated[extent.start - start][start : start + extent.size]

    def _read_normal(self, extent: Extent) -> bytes:
        host = extent.host_start
        if self._cipher is None or extent.past_end:
            return read_padded(self._files.data, host, extent.size)
        before = host % SECTOR
        size = -(-(before + extent.size) // SECTOR) * SECTOR
        data = read_padded(self._files.data, host - before, size)
        first = (host if self._cipher.counts_host_sectors else extent.start) // SECTOR
        return self._cipher.decrypt(data, first)[before : before + extent.size]

    def plain_source(self, extent: Extent) -> Source | None:
        """The file that holds the bytes of a normal extent as they are; None for every other one."""
        if extent.kind is not ClusterType.NORMAL or extent.error is not None:
            return None
        view, files, is_encrypted = self._layers[extent.layer]
        if files is None:
            return view.plain_source(extent)
        return files.data if not is_encrypted or extent.past_end else None

    def files_of(self, layer: int) -> Files | None:
        """Where the bytes of a layer lie; None if it has no clusters, as a raw backing file."""
        return self._layers[layer][1]

    @cached_property
    def ends(self) -> list[int]:
        """By layer: one past the last host byte that holds normal clusters; what lies behind a raw layer has none."""
        return [sys.maxsize if files is None else files.data.size for _, files, _ in self._layers]

    @cached_property
    def _layers(self) -> list[tuple[GuestDisk | View, Files | None, bool]]:
        """This disk and what lies behind it, one behind the other: where its clusters lie, whether they need a key."""
        found: list[tuple[GuestDisk | View, Files | None, bool]] = []
        below: GuestDisk | View | None = self
        while isinstance(below, GuestDisk):
            found.append((below, below._files, below._cipher is not None))
            below = below._backing
        return found if below is None else [*found, (below, None, False)]

    def _inflate(self, guest: int) -> bytes:
        """The whole guest cluster at ``guest``, which is compressed."""
        address, run = self._stream(guest)
        files = self._files
        try:
            return files.codec.decompress(read_padded(files.image, run.start, run.size), files.cluster_size)
        except BadStream as error:
            raise BadStream(
                f"guest {GuestRange.at(guest, files.cluster_size)}: the compressed cluster at host {run} "
                f"({address}) cannot be inflated: {error.what}",
                why="its bytes are lost unless another copy exists",
            ) from error
