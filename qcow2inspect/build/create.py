"""From a raw disk to an image: holes and zeros are not stored, and what equals the backing file is not either."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.build.writer import ImageWriter, Layout
from qcow2inspect.codec import codec_for
from qcow2inspect.errors import CannotExport, NotQcow2
from qcow2inspect.format.geometry import MAX_BACKING_NAME, SECTOR
from qcow2inspect.format.header import CompressionType
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.follow import image_in, open_chain
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.output import Output
from qcow2inspect.progress import Cancelled, Silent
from qcow2inspect.source.file import FileSource
from qcow2inspect.source.protocol import read_padded
from qcow2inspect.units import GuestRange, HostRange
from qcow2inspect.workers import in_order

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from qcow2inspect.codec import Codec
    from qcow2inspect.image.view import View
    from qcow2inspect.output import Identity
    from qcow2inspect.progress import Progress
    from qcow2inspect.source.protocol import Source

__all__ = ["Created", "Form", "ViewSource", "create_from", "create_image"]

_BATCH = 1 << 20
_LEVEL = {CompressionType.ZLIB: 6, CompressionType.ZSTD: 3}


@dataclass(frozen=True, slots=True)
class Created:
    """What was made.

    Attributes:
        size: guest bytes.
        stored: bytes of the image file.
        padded: zero bytes that were added to fill the last sector.
    """

    size: int
    stored: int
    padded: int


@dataclass(frozen=True, slots=True)
class Form:
    """How an image shall be made.

    Attributes:
        cluster_bits: log2 of the cluster size.
        compression: store clusters compressed where that is smaller; None for never.
        level: how hard to compress; None for the usual level.
        backing: a raw or qcow2 file; the image then holds only what differs from it.
        follow: which files that the backing file names may be opened.
    """

    cluster_bits: int = 16
    compression: CompressionType | None = None
    level: int | None = None
    backing: str | None = None
    follow: Follow = Follow.NONE

    @property
    def codec(self) -> Codec | None:
        """What compresses clusters; None if nothing does."""
        if self.compression is None:
            return None
        return codec_for(self.compression, self.level or _LEVEL[self.compression])


def create_image(
    raw_path: str, image_path: str, form: Form, *, force: bool = False, progress: Progress | None = None
) -> Created:
    """Write the disk in the file ``raw_path`` as an image of version 3.

    Args:
        raw_path: the raw disk; only read.
        image_path: where the image shall appear.
        form: how the image shall be made.
        force: replace an existing file.
        progress: told about every batch, in bytes; may ask to stop.

    Raises:
        CannotRead: a file cannot be read.
        CannotExport: the image must not or cannot be written, or its clusters are too small for the disk.
        Cancelled: the user asked to stop; nothing is left behind.
    """
    with FileSource(raw_path) as raw:
        _known = image_in(raw)  # as long as it is known here, what it names is not written to either
        return create_from(raw, image_path, form, force=force, progress=progress)


def create_from(
    raw: Source,
    image_path: str,
    form: Form,
    *,
    evidence: Collection[Identity] = (),
    force: bool = False,
    progress: Progress | None = None,
) -> Created:
    """Write the bytes of ``raw`` as an image of version 3; see :func:`create_image`.

    Args:
        raw: the disk.
        image_path: where the image shall appear.
        form: how the image shall be made.
        evidence: further files that must not be written.
        force: replace an existing file.
        progress: told about every batch, in bytes; may ask to stop.
    """
    progress = progress or Silent()
    with ExitStack() as stack:
        base = None
        if form.backing is not None:
            base = stack.enter_context(closing(_Backing(form.backing, image_path, form.follow)))
        layout = _layout(raw, image_path, form, base)
        kept = [*evidence, raw.identity, *(base.evidence if base else ())]
        output = stack.enter_context(Output(image_path, force=force, evidence=kept))
        writer = ImageWriter(output, layout)
        progress.begin(f"Writing {image_path}", raw.size)
        _Filler(raw, base, writer, form.codec).fill(progress)
        writer.finish()
        stored = os.fstat(output.fd).st_size
        output.commit()
    return Created(layout.size, stored, layout.size - raw.size)


def _layout(raw: Source, image_path: str, form: Form, base: _Backing | None) -> Layout:
    try:
        return Layout(
            size=-(-raw.size // SECTOR) * SECTOR,
            cluster_bits=form.cluster_bits,
            compression=form.compression or CompressionType.ZLIB,
            backing_name=base.name if base else b"",
            backing_format=base.format if base else b"",
        )
    except ValueError as error:
        raise CannotExport(f"{image_path}: {error}", hint="choose a larger --cluster-size") from error


class _Backing:
    """A backing file: its bytes, and how the image names it.

    Attributes:
        name: relative to the image's folder unless an absolute path was given.
        format: ``raw``, ``qcow2`` or ``qcow``.
        evidence: files that must not be written.
    """

    def __init__(self, path: str, image_path: str, follow: Follow) -> None:
        name = path if os.path.isabs(path) else os.path.relpath(path, os.path.dirname(image_path) or ".")
        self.name = os.fsencode(name)
        if len(self.name) > MAX_BACKING_NAME:
            raise NotQcow2(f"{path}: the name is longer than {MAX_BACKING_NAME} bytes and cannot be stored")
        self._chain = open_chain(path, OpenGate(follow), maybe_raw=True)
        self.format = self._chain.layers[0].format.encode()
        self.evidence = self._chain.evidence
        self._view = self._chain.disk()

    def read_at(self, offset: int, size: int) -> bytes:
        """Guest bytes of the backing file, zeros past its end."""
        return self._view.read_at(offset, size).ljust(size, b"\0")

    def close(self) -> None:
        """Close the backing file and what it names."""
        self._chain.close()


class ViewSource:
    """The bytes of a view as a source: what reads as zeros because of the tables is a hole.

    Args:
        view: gives the bytes.
    """

    identity = None

    def __init__(self, view: View) -> None:
        self._view = view
        self.name = view.name
        self.size = self.allocated = view.size

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on; fewer only at the end.

        Raises:
            CannotRead, Damaged, NeedsFile, NeedsKey: they cannot be read.
        """
        return self._view.read_at(offset, size)

    def data_ranges(self, within: HostRange) -> Iterator[HostRange]:
        """The parts of ``within`` that do not read as zeros, in order.

        Raises:
            Damaged, NeedsFile, NeedsKey: a part cannot be read.
        """
        for extent in self._view.extents(GuestRange.at(within.start, within.size)):
            if not extent.reads_as_zero:
                yield HostRange.at(extent.guest.start, extent.guest.size)


_Packed = tuple[int, bytes, ClusterType]
"""Guest cluster number, the bytes that are stored for it, and how."""


class _Filler:
    """Puts the clusters of a raw disk into a writer: compressed in threads, written in order."""

    def __init__(self, raw: Source, base: _Backing | None, writer: ImageWriter, codec: Codec | None) -> None:
        self._raw = raw
        self._base = base
        self._writer = writer
        self._size = writer.geometry.cluster_size
        self._codec = codec
        self._stop = threading.Event()
        self._zeros = bytes(self._size)

    def fill(self, progress: Progress) -> None:
        """Go through the disk from its start to its end."""
        done = 0
        with closing(in_order(self._batches(), self._pack, progress, self._stop)) as packed:
            for stop, clusters in packed:
                for index, data, kind in clusters:
                    self._put(index, data, kind)
                progress.advance(min(stop, self._raw.size) - done)
                done = min(stop, self._raw.size)
        progress.advance(self._raw.size - done)

    def _put(self, index: int, data: bytes, kind: ClusterType) -> None:
        if kind is ClusterType.COMPRESSED:
            self._writer.put_compressed(index, data)
        elif kind is ClusterType.NORMAL:
            self._writer.put(index, data)
        else:
            self._writer.put_zero(index)

    def _batches(self) -> Iterator[tuple[int, int]]:
        """Cluster-aligned parts of the disk that must be looked at, a few MiB each.

        Holes are passed over, unless there is a backing file whose bytes they would let through.
        """
        whole = HostRange.at(0, self._raw.size)
        step = max(self._size, _BATCH)
        last = 0
        for part in [whole] if self._base else self._raw.data_ranges(whole):
            at = max(last, part.start // self._size * self._size)
            last = -(-part.end // self._size) * self._size
            for start in range(at, last, step):
                yield start, min(start + step, last)

    def _pack(self, batch: tuple[int, int]) -> tuple[int, list[_Packed]]:
        """What must be stored of a part of the disk, and where the part ends; called from several threads."""
        start, stop = batch
        data = read_padded(self._raw, start, stop - start)
        clusters: list[_Packed] = []
        for at in range(0, stop - start, self._size):
            if self._stop.is_set():
                raise Cancelled
            packed = self._cluster(start + at, data[at : at + self._size])
            if packed is not None:
                clusters.append(packed)
        return stop, clusters

    def _cluster(self, at: int, data: bytes) -> _Packed | None:
        """What must be stored of one cluster; None if nothing."""
        index = at // self._size
        if self._base is not None and data == self._base.read_at(at, self._size):
            return None
        if data == self._zeros:
            return None if self._base is None else (index, b"", ClusterType.ZERO_PLAIN)
        stream = self._codec.compress(data) if self._codec else data
        if len(stream) < len(data):
            return index, stream, ClusterType.COMPRESSED
        return index, data, ClusterType.NORMAL
