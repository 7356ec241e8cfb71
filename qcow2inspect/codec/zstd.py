"""Compression type 1: one or more zstd frames."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from qcow2inspect.codec import Measure
from qcow2inspect.errors import BadStream, ShortStream

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

__all__ = ["Zstd"]

_FIRST_STEP = 1 << 10
_MAGIC_SIZE = 4


class Zstd:
    """A :class:`~qcow2inspect.codec.Codec` for zstd frames."""

    def __init__(self, level: int | None = None) -> None:
        self._level = level

    def decompress(self, data: bytes | memoryview, cluster_size: int) -> bytes:
        """One cluster from the frames; the last frame must end exactly there, as QEMU wants it."""
        return self._decode(data, cluster_size)[0]

    def measure(self, data: bytes | memoryview, cluster_size: int) -> Measure:
        """How long the frames are; see :meth:`qcow2inspect.codec.Codec.measure`."""
        return Measure(self._decode(data, cluster_size)[1], ends=True)

    def _decode(self, data: bytes | memoryview, cluster_size: int) -> tuple[bytes, int]:
        """One cluster, and how many bytes it took."""
        frame = zstd.ZstdDecompressor()
        try:
            out: bytes = frame.decompress(data, cluster_size)
        except zstd.ZstdError as error:
            raise BadStream(f"the zstd stream is broken ({error})") from error
        if frame.eof and len(out) == cluster_size:
            return out, len(data) - len(frame.unused_data)  # one frame, as every writer makes it
        return self._frame_by_frame(data, cluster_size)

    def _frame_by_frame(self, data: bytes | memoryview, cluster_size: int) -> tuple[bytes, int]:
        """One cluster from any number of frames, and how many bytes they took.

        Input is fed in growing steps, so that many tiny frames do not copy the rest of the input again and again.
        """
        view, at = memoryview(data), 0
        parts: list[bytes] = []
        missing = cluster_size
        try:
            while missing:
                _require_frame(view, at, missing)
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
        return b"".join(parts), at

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

    def salvage(self, data: bytes, cluster_size: int) -> bytes:
        """What comes out before the stream breaks; see :meth:`qcow2inspect.codec.Codec.salvage`."""
        out, rest = b"", data
        while rest and len(out) < cluster_size:
            frame = zstd.ZstdDecompressor()
            got, rest = _salvage_frame(frame, rest, cluster_size - len(out))
            out += got
            if not frame.eof:
                break
        return out

    def compress(self, data: bytes) -> bytes:
        """One frame with its content size."""
        return zstd.compress(data, level=self._level)


def _require_frame(view: memoryview, at: int, missing: int) -> None:
    """Behind the last frame stands nothing, or zeros up to the end of the sector."""
    if at and not any(view[at : at + _MAGIC_SIZE]):
        raise ShortStream(f"the zstd stream ends {missing:,} bytes before the end of the cluster")


def _salvage_frame(frame: zstd.ZstdDecompressor, data: bytes, room: int) -> tuple[bytes, bytes]:
    """What a frame gives before it breaks, and the bytes behind it."""
    out, at = b"", 0
    with contextlib.suppress(zstd.ZstdError):
        while not frame.eof and len(out) < room:
            step = data[at : at + _FIRST_STEP] if frame.needs_input else b""
            if frame.needs_input and not step:
                break
            at += len(step)
            out += frame.decompress(step, room - len(out))
    return out, frame.unused_data + data[at:] if frame.eof else b""
