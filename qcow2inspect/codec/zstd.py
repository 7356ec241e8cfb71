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

_FIRST_STEP = 1 << 10


class Zstd:
    """A :class:`~qcow2inspect.codec.Codec` for zstd frames."""

    def __init__(self, level: int | None = None) -> None:
        self._level = level

    def decompress(self, data: bytes, cluster_size: int) -> bytes:
        """One cluster from the frames; the last frame must end exactly there, as QEMU wants it.

        Input is fed in growing steps, so that many tiny frames do not copy the rest of the input again and again.
        """
        view, at = memoryview(data), 0
        parts: list[bytes] = []
        missing = cluster_size
        try:
            while missing:
                frame = zstd.ZstdDecompressor()
                step = _FIRST_STEP
                while not frame.eof and (missing or not frame.needs_input):
                    chunk = view[at : at + step] if frame.needs_input else view[:0]
                    if frame.needs_input and not chunk:
                        raise BadStream(f"the zstd stream ends {missing:,} bytes before the end of the cluster")
                    at += len(chunk)
                    step *= 4
                    part = frame.decompress(chunk, max(1, missing))
                    self._require_room(part, missing, cluster_size)
                    parts.append(part)
                    missing -= len(part)
                at = self._finish(frame, view, at, cluster_size)
        except zstd.ZstdError as error:
            raise BadStream(f"the zstd stream is broken ({error})") from error
        return b"".join(parts)

    @staticmethod
    def _require_room(part: bytes, missing: int, cluster_size: int) -> None:
        if len(part) > missing:
            raise BadStream(f"the zstd frame goes on after the {cluster_size:,} bytes of the cluster")

    @staticmethod
    def _finish(frame: zstd.ZstdDecompressor, view: memoryview, at: int, cluster_size: int) -> int:
        """Let a frame whose bytes are all out read its end; gives where the next frame starts."""
        while not frame.eof:
            chunk = view[at : at + _FIRST_STEP]
            if not chunk or frame.decompress(chunk, 1):
                raise BadStream(f"the zstd frame goes on after the {cluster_size:,} bytes of the cluster")
            at += len(chunk)
        return at - len(frame.unused_data)

    def compress(self, data: bytes) -> bytes:
        """One frame with its content size."""
        return zstd.compress(data, level=self._level)
