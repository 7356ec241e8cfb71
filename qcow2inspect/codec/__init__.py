"""Compressed cluster to cluster. One module a compression type, chosen by :func:`codec_for`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from qcow2inspect.errors import Unsupported
from qcow2inspect.format.header import CompressionType

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Codec", "Measure", "codec_for"]


class Measure(NamedTuple):
    """How a stream that gives a cluster fits the bytes it stands in.

    Attributes:
        used: bytes of the stream, as far as they were needed.
        ends: True if the stream ends with the cluster; False if it goes on behind it.
        is_far: True if the stream refers back further than the window of 4 KiB reaches with which QEMU writes
            deflate; seen for certain from 8 KiB on.
    """

    used: int
    ends: bool
    is_far: bool = False


class Codec(Protocol):
    """Turns one compressed cluster into its bytes and back."""

    def decompress(self, data: bytes | memoryview, cluster_size: int) -> bytes:
        """Exactly ``cluster_size`` bytes from the stream at the start of ``data``; what follows it is ignored.

        The output never grows beyond one cluster, whatever the stream asks for.

        Raises:
            BadStream: the stream is broken, or gives less than a cluster.
        """

    def measure(self, data: bytes | memoryview, cluster_size: int) -> Measure:
        """How long the stream at the start of ``data`` is; its verdict on the stream is that of :meth:`decompress`.

        Raises:
            ShortStream: the stream ends before it has given a cluster.
            BadStream: the stream is broken.
        """

    def salvage(self, data: bytes, cluster_size: int) -> bytes:
        """What a broken stream gives before it breaks, at most one cluster; never raises.

        The last of these bytes may be wrong: streams have no checksum, and damage may lie before the place where it
        makes the stream impossible.
        """

    def compress(self, data: bytes) -> bytes:
        """A stream that :meth:`decompress` turns into ``data``."""


def codec_for(kind: CompressionType, level: int | None = None) -> Codec:
    """The codec of a compression type.

    Args:
        kind: the header's compression type.
        level: how hard :meth:`Codec.compress` tries; None for the codec's usual level.

    Raises:
        Unsupported: the specification does not know the type.
    """
    maker = _CODECS.get(kind)
    if maker is None:
        raise Unsupported(
            f"compression type {int(kind)} (header byte 104) is unknown",
            hint="the image needs a newer program, or the header is damaged",
        )
    return maker(level)


def _deflate(level: int | None) -> Codec:
    from qcow2inspect.codec.deflate import Deflate

    return Deflate(level)


def _zstd(level: int | None) -> Codec:
    from qcow2inspect.codec.zstd import Zstd

    return Zstd(level)


_CODECS: dict[CompressionType, Callable[[int | None], Codec]] = {
    CompressionType.ZLIB: _deflate,
    CompressionType.ZSTD: _zstd,
}
