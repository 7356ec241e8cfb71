"""Compression type 1: one or more zstd frames."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qcow2inspect.errors import BadStream

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

__all__ = ["Zstd"]


class Zstd:
    """A :class:`~qcow2inspect.codec.Codec` for zstd frames."""

    def __init__(self, level: int | None = None) -> None:
        self._level = level

    def decompress(self, data: bytes, cluster_size: int) -> bytes:
        """One cluster from the frames; the last frame must end exactly there, as QEMU wants it."""
        parts: list[bytes] = []
        missing = cluster_size
        try:
            while missing:
                frame = zstd.ZstdDecompressor()
                part = frame.decompress(data, missing)
                missing -= len(part)
                parts.append(part)
                if not frame.eof:
                    self._require_end(frame, missing, cluster_size)
                elif not part:
                    raise BadStream(f"the zstd stream ends {missing:,} bytes before the end of the cluster")
                data = frame.unused_data
        except zstd.ZstdError as error:
            raise BadStream(f"the zstd stream is broken ({error})") from error
        return b"".join(parts)

    @staticmethod
    def _require_end(frame: zstd.ZstdDecompressor, missing: int, cluster_size: int) -> None:
        """The cluster is full but its frame has not reported its end: let it finish, without another byte."""
        if missing:
            raise BadStream(f"the zstd stream gives {cluster_size - missing:,} bytes, a cluster has {cluster_size:,}")
        if (not frame.needs_input and frame.decompress(b"", 1)) or not frame.eof:
            raise BadStream(f"the zstd frame goes on after the {cluster_size:,} bytes of the cluster")

    def compress(self, data: bytes) -> bytes:
        """One frame with its content size."""
        return zstd.compress(data, level=self._level)
