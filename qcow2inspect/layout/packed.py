"""Columns of unsigned numbers of 1, 2, 4, 8, 16, 32 or 64 bits, as refcount blocks and bitmaps hold them.

Numbers narrower than a byte are packed with the least significant bits first; wider ones are big-endian.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["WIDTHS", "get", "pack", "put", "unpack"]

WIDTHS = (1, 2, 4, 8, 16, 32, 64)
"""The widths in bits that can be packed."""


def _checked(width: int) -> int:
    if width not in WIDTHS:
        raise ValueError(f"width {width} is none of {WIDTHS}")
    return width


def get(data: bytes, index: int, width: int) -> int:
    """Number ``index`` of the packed column ``data``, each ``width`` bits.

    Raises:
        IndexError: ``data`` ends before it.
    """
    if _checked(width) >= 8:
        size = width // 8
        part = data[index * size : (index + 1) * size]
        if index < 0 or len(part) < size:
            raise IndexError(index)
        return int.from_bytes(part, "big")
    bit = index * width
    return data[bit >> 3] >> (bit & 7) & ((1 << width) - 1)


def put(data: bytearray, index: int, width: int, value: int) -> None:
    """Store ``value`` as number ``index`` of the packed column ``data``.

    Raises:
        IndexError: ``data`` ends before it.
        OverflowError: ``value`` needs more than ``width`` bits.
    """
    if value < 0 or value >> _checked(width):
        raise OverflowError(f"{value} does not fit {width} bits")
    if width >= 8:
        size = width // 8
        if index < 0 or (index + 1) * size > len(data):
            raise IndexError(index)
        data[index * size : (index + 1) * size] = value.to_bytes(size, "big")
        return
    bit = index * width
    mask = ((1 << width) - 1) << (bit & 7)
    data[bit >> 3] = data[bit >> 3] & ~mask | value << (bit & 7)


def unpack(data: bytes, width: int) -> npt.NDArray[np.uint64]:
    """All numbers of a packed column.

    Returns:
        ``uint64`` in native order, shape ``(len(data) * 8 // width,)``, indexed like :func:`get`.
    """
    import numpy as np

    if _checked(width) >= 8:
        usable = len(data) - len(data) % (width // 8)
        return np.frombuffer(data[:usable], dtype=f">u{width // 8}").astype(np.uint64)
    column = np.frombuffer(data, dtype=np.uint8)
    shifts = np.arange(0, 8, width, dtype=np.uint8)
    return ((column[:, None] >> shifts) & np.uint8((1 << width) - 1)).reshape(-1).astype(np.uint64)


def pack(values: npt.ArrayLike, width: int) -> bytes:
    """The inverse of :func:`unpack`; ``values`` is any sequence of numbers, zero padded to a whole byte.

    Raises:
        OverflowError: a value needs more than ``width`` bits.
    """
    import numpy as np

    column = np.asarray(values, dtype=np.uint64)
    if _checked(width) < 64 and column.size and int(column.max()) >> width:
        raise OverflowError(f"{int(column.max())} does not fit {width} bits")
    if width >= 8:
        return column.astype(f">u{width // 8}").tobytes()
    per_byte = 8 // width
    padded = np.zeros(-(-column.size // per_byte) * per_byte, dtype=np.uint8)
    padded[: column.size] = column
    shifts = np.arange(0, 8, width, dtype=np.uint8)
    packed: npt.NDArray[np.uint8] = np.bitwise_or.reduce(padded.reshape(-1, per_byte) << shifts, axis=1)
    return packed.astype(np.uint8).tobytes()
