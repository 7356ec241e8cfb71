"""The bytes at the cursor as numbers of all sizes in both byte orders, and as times where they can be one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["readings"]

_FIRST, _LAST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_WINDOWS = datetime(1601, 1, 1, tzinfo=UTC)
_TICKS = 10_000_000
_LARGE = 10**15


def readings(data: bytes) -> Iterator[tuple[str, str]]:
    """What up to eight bytes say: a label and words.

    Unsigned numbers, big-endian (be) as everything in the image is, and little-endian (le) as most guests have them;
    signed ones where that makes a difference (``or -1``); times between 1990 and 2100.
    """
    if not data:
        return
    yield "8 bit", _shown(data[0], 8)
    for size in (2, 4, 8):
        if len(data) >= size:
            yield f"be{size * 8}", _shown(int.from_bytes(data[:size], "big"), 8 * size)
            yield f"le{size * 8}", _shown(int.from_bytes(data[:size], "little"), 8 * size)
    for name, moment in _times(data):
        yield name, f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _shown(value: int, bits: int) -> str:
    """A number; hexadecimal if nobody counts that far; as a signed one too if it may be negative."""
    negative = value - (1 << bits)
    signed = f" or {negative:,}" if value >> (bits - 1) and -negative < _LARGE else ""
    return (f"{value:,}" if value < _LARGE else f"{value:#x}") + signed


def _times(data: bytes) -> Iterator[tuple[str, datetime]]:
    """The times that the bytes can be: seconds since 1970, and 100 ns since 1601 as Windows counts."""
    if len(data) >= 4:
        for name, value in (("be", int.from_bytes(data[:4], "big")), ("le", int.from_bytes(data[:4], "little"))):
            moment = datetime.fromtimestamp(value, UTC)
            if _FIRST <= moment < _LAST:
                yield f"time {name}", moment
    if len(data) >= 8:
        ticks = int.from_bytes(data[:8], "little")
        since = timedelta(seconds=min(ticks // _TICKS, 1 << 36))
        if _FIRST <= _WINDOWS + since < _LAST:
            yield "FILETIME", _WINDOWS + since
