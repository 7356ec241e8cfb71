"""Compression type 0: raw deflate without header, window of 32 KiB.

QEMU writes with a 4 KiB window but reads any distance, so the full window is used for reading. zlib-ng inflates with
zlib's verdicts, which are QEMU's; ISA-L is faster but reads some broken streams that both refuse, and bytes that QEMU
calls unreadable must not be shown as sound.
"""

from __future__ import annotations

import contextlib
import zlib
from typing import Any

from zlib_ng import zlib_ng

from qcow2inspect.codec import Measure
from qcow2inspect.errors import BadStream, ShortStream

__all__ = ["Deflate"]

_READ_WINDOW = -15
_WRITE_WINDOW = -12
_MEMORY_LEVEL = 9
_SALVAGE_STEP = 256
_STEP = 4096


class Deflate:
    """A :class:`~qcow2inspect.codec.Codec` for raw deflate.

    Args:
        level: 1 to 9 compresses with zlib-ng, twice as fast for the same size; None with zlib, whose streams are the
            same everywhere.
    """

    def __init__(self, level: int | None = None) -> None:
        self._level = level

    def decompress(self, data: bytes | memoryview, cluster_size: int) -> bytes:
        """One cluster from the stream; see :meth:`qcow2inspect.codec.Codec.decompress`."""
        return _inflate(zlib_ng.decompressobj(_READ_WINDOW), data, cluster_size)

    def measure(self, data: bytes | memoryview, cluster_size: int) -> Measure:
        """How long the stream is; see :meth:`qcow2inspect.codec.Codec.measure`."""
        inflater = zlib_ng.decompressobj(_WRITE_WINDOW)
        is_far = not _fits(inflater, data, cluster_size)
        if is_far:
            inflater = zlib_ng.decompressobj(_READ_WINDOW)
            _inflate(inflater, data, cluster_size)
        used = len(data) - len(inflater.unconsumed_tail)
        try:  # the end of a stream is not always read before more is asked for
            more = b"" if inflater.eof else inflater.decompress(inflater.unconsumed_tail, 1)
        except zlib_ng.error:  # type: ignore[misc]  # the stubs hide that it is an exception
            return Measure(used, ends=False, is_far=is_far)
        if more or not inflater.eof:
            return Measure(used, ends=False, is_far=is_far)
        return Measure(len(data) - len(inflater.unused_data), ends=True, is_far=is_far)

    def salvage(self, data: bytes, cluster_size: int) -> bytes:
        """What comes out before the stream breaks; see :meth:`qcow2inspect.codec.Codec.salvage`.

        A failed call gives none of its bytes, so the step that breaks is taken again byte by byte.
        """
        inflater, out = zlib_ng.decompressobj(_READ_WINDOW), b""
        for at in range(0, len(data), _SALVAGE_STEP):
            step = data[at : at + _SALVAGE_STEP]
            before = inflater.copy()  # type: ignore[attr-defined]  # the stubs lack it
            try:
                out += inflater.decompress(inflater.unconsumed_tail + step, cluster_size - len(out))
            except zlib_ng.error:  # type: ignore[misc]  # the stubs hide that it is an exception
                return out + _bytewise(before, step, cluster_size - len(out))
            if inflater.eof or len(out) == cluster_size:
                break
        return out

    def compress(self, data: bytes) -> bytes:
        """A stream that every reader of the format inflates: 4 KiB window, as QEMU writes it."""
        if self._level is None:
            packer = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, _WRITE_WINDOW, _MEMORY_LEVEL)
            return packer.compress(data) + packer.flush()
        faster = zlib_ng.compressobj(self._level, zlib.DEFLATED, _WRITE_WINDOW, _MEMORY_LEVEL)
        return bytes(faster.compress(data) + faster.flush())


def _fits(inflater: Any, data: bytes | memoryview, cluster_size: int) -> bool:
    """True if a stream gives one cluster; a window is looked through only where output comes in steps."""
    left = cluster_size
    with contextlib.suppress(zlib_ng.error):  # type: ignore[arg-type]  # the stubs hide that it is an exception
        while left and (out := inflater.decompress(data, min(left, _STEP))):
            left -= len(out)
            data = inflater.unconsumed_tail
    return not left


def _inflate(inflater: Any, data: bytes | memoryview, cluster_size: int) -> bytes:
    """One cluster.

    Raises:
        ShortStream, BadStream: there is none.
    """
    try:
        out: bytes = inflater.decompress(data, cluster_size)
    except zlib_ng.error as error:  # type: ignore[misc]  # the stubs hide that it is an exception
        raise BadStream(f"the deflate stream is broken ({error})") from error
    if len(out) < cluster_size:
        kind = ShortStream if inflater.eof else BadStream
        raise kind(f"the deflate stream gives {len(out):,} bytes, a cluster has {cluster_size:,}")
    return out


def _bytewise(inflater: Any, step: bytes, room: int) -> bytes:
    """What the bytes of ``step`` give one after the other, until one is impossible."""
    out = b""
    for at in range(len(step)):
        if len(out) == room:
            break
        try:
            out += inflater.decompress(step[at : at + 1], room - len(out))
        except zlib_ng.error:  # type: ignore[misc]  # the stubs hide that it is an exception
            break
    return out
