"""Block cipher, mode of operation and initialization vectors, put together for many sectors at once.

A call of the library for each sector of 512 bytes costs more than its encryption. So all modes are written out in
terms of the bare block cipher (ECB), which takes many sectors in one call, and whole-column exclusive-or in numpy::

    XTS   P = D(C ^ T) ^ T      T[j] = E2(iv) * alpha^j in GF(2^128)
    CBC   P[j] = D(C[j]) ^ C[j-1]                         C[-1] = iv
    CTR   P[j] = C[j] ^ E(iv + j)                         iv + j big-endian
    ECB   P = D(C)

Columns have shape ``(sectors, lanes)`` of 64-bit lanes: one lane a block for ciphers with blocks of 64 bits, two
for those with 128. Lanes are stored as they lie in the bytes; arithmetic on them says which end it means.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from qcow2inspect.format.geometry import SECTOR

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt
    from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm

    Lanes = npt.NDArray[np.uint64]
    Ivs = Callable[[Lanes], Lanes]

__all__ = [
    "MODES",
    "Blocks",
    "Cbc",
    "Ctr",
    "Ecb",
    "Mode",
    "SectorCipher",
    "Xts",
    "essiv_ivs",
    "plain64_ivs",
    "plain_ivs",
]

_BATCH = 1 << 19  # bytes: the columns of a batch stay in the cache
_LANE = 8


class Blocks:
    """A block cipher under one key, block by block (ECB), on columns of any shape.

    Attributes:
        lanes: 64-bit lanes of one block.
    """

    def __init__(self, algorithm: BlockCipherAlgorithm) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, modes

        self.lanes = algorithm.block_size // 8 // _LANE
        self._cipher = Cipher(algorithm, modes.ECB())

    def encrypt(self, blocks: Lanes) -> Lanes:
        """Each block encrypted; the shape stays."""
        return self._update(self._cipher.encryptor(), blocks)

    def decrypt(self, blocks: Lanes) -> Lanes:
        """Each block decrypted; the shape stays."""
        return self._update(self._cipher.decryptor(), blocks)

    def _update(self, context: Any, blocks: Lanes) -> Lanes:
        import numpy as np

        source = np.ascontiguousarray(blocks)
        out = np.empty(source.nbytes + _LANE * self.lanes, dtype=np.uint8)  # the library wants room for one block more
        context.update_into(source.reshape(-1).view(np.uint8), out)
        return out[: source.nbytes].view(np.uint64).reshape(blocks.shape)


# -- initialization vectors -----------------------------------------------------------------------------------------


def plain64_ivs(sectors: Lanes) -> Lanes:
    """The sector number, 64 bits little-endian: one lane a sector; modes fill up with zeros."""
    return sectors.astype("<u8").view("u8")


def plain_ivs(sectors: Lanes) -> Lanes:
    """The sector number modulo 2^32, little-endian: one lane a sector."""
    import numpy as np

    return plain64_ivs(sectors & np.uint64(0xFFFF_FFFF))


def essiv_ivs(salt: Blocks) -> Ivs:
    """The sector number, encrypted with a key that is the hash of the key (ESSIV)."""

    def ivs(sectors: Lanes) -> Lanes:
        return salt.encrypt(_widened(plain64_ivs(sectors), salt.lanes))

    return ivs


def _widened(ivs: Lanes, lanes: int) -> Lanes:
    """Initialization vectors of exactly ``lanes`` lanes: cut, or filled up with zeros."""
    import numpy as np

    ivs = ivs.reshape(len(ivs), -1)[:, :lanes]
    widened = np.zeros((len(ivs), lanes), dtype=np.uint64)
    widened[:, : ivs.shape[1]] = ivs
    return widened


# -- modes ----------------------------------------------------------------------------------------------------------


class Mode(Protocol):
    """A mode of operation under one key."""

    def decrypt(self, data: Lanes, ivs: Lanes) -> Lanes:
        """Sectors of shape ``(sectors, 64)``, ``ivs`` with one row a sector."""

    def encrypt(self, data: Lanes, ivs: Lanes) -> Lanes:
        """The inverse of :meth:`decrypt`."""


class Ecb:
    """Every block for itself; initialization vectors are not used."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    def decrypt(self, data: Lanes, ivs: Lanes) -> Lanes:
        """Decrypt sectors."""
        return self._blocks.decrypt(data)

    def encrypt(self, data: Lanes, ivs: Lanes) -> Lanes:
        """Encrypt sectors."""
        return self._blocks.encrypt(data)


class Cbc:
    """Each block is combined with the encrypted block before it."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    def decrypt(self, data: Lanes, ivs: Lanes) -> Lanes:
        """Decrypt sectors."""
        lanes = self._blocks.lanes
        plain = self._blocks.decrypt(data)
        plain[:, lanes:] ^= data[:, :-lanes]
        plain[:, :lanes] ^= _widened(ivs, lanes)
        return plain

    def encrypt(self, data: Lanes, ivs: Lanes) -> Lanes:
        """Encrypt sectors: the blocks of a sector one after the other, but all sectors together."""
        import numpy as np

        lanes, last, out = self._blocks.lanes, _widened(ivs, self._blocks.lanes), np.empty_like(data)
        for at in range(0, data.shape[1], lanes):
            last = self._blocks.encrypt(data[:, at : at + lanes] ^ last)
            out[:, at : at + lanes] = last
        return out


class Ctr:
    """A key stream from a big-endian counter that starts at the initialization vector."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    def decrypt(self, data: Lanes, ivs: Lanes) -> Lanes:
        """Decrypt sectors."""
        return data ^ self._blocks.encrypt(self._counters(ivs, data.shape[1]))

    encrypt = decrypt

    def _counters(self, ivs: Lanes, width: int) -> Lanes:
        import numpy as np

        lanes = self._blocks.lanes
        start = _widened(ivs, lanes).view(">u8").astype(np.uint64)
        steps = np.arange(width // lanes, dtype=np.uint64)
        counters = np.repeat(start[:, None, :], len(steps), axis=1)
        counters[:, :, -1] += steps
        if lanes == 2:
            counters[:, :, 0] += counters[:, :, 1] < start[:, None, 1]
        return counters.astype(">u8").view(np.uint64).reshape(len(ivs), width)


class Xts:
    """Each block is masked with a tweak that is the encrypted initialization vector times a power of alpha.

    Not for several threads at the same time: they would share the room that is kept between calls.
    """

    def __init__(self, blocks: Blocks, tweaks: Blocks) -> None:
        self._blocks = blocks
        self._tweaks = tweaks
        self._room: Any = None

    def decrypt(self, data: Lanes, ivs: Lanes) -> Lanes:
        """Decrypt sectors."""
        return self._masked(self._blocks.decrypt, data, ivs)

    def encrypt(self, data: Lanes, ivs: Lanes) -> Lanes:
        """Encrypt sectors."""
        return self._masked(self._blocks.encrypt, data, ivs)

    def _masked(self, work: Callable[[Lanes], Lanes], data: Lanes, ivs: Lanes) -> Lanes:
        import numpy as np

        masks = self._masks(ivs)
        room = self._room.reshape(-1)[: data.size].reshape(data.shape)  # the planes are done with
        out: Lanes = work(np.bitwise_xor(data, masks, out=room))
        out ^= masks
        return out

    def _masks(self, ivs: Lanes) -> Lanes:
        """The tweaks of all blocks, shape ``(sectors, 64)``.

        The first 1, 2, 4, ... powers of alpha, times alpha^1, alpha^2, alpha^4, ..., are as many again. Multiplying by
        alpha^j shifts the 128 bits left by j; the bits that leave at the top come back by way of a table. Powers come
        first in the planes of low and high lanes, so that every step works on long runs of memory.
        """
        import numpy as np

        count = SECTOR // 16
        if self._room is None or self._room.shape[2] != len(ivs):
            self._room = np.empty((3, count, len(ivs)), dtype=np.uint64)
            self._tweaked = np.empty((len(ivs), count, 2), dtype="<u8")
        low, high, room = self._room
        first = self._tweaks.encrypt(_widened(ivs, 2)).view("<u8").astype(np.uint64)
        low[0], high[0] = first[:, 0], first[:, 1]
        returns = _returns(count // 2)
        for step in _STEPS:
            there, rest = slice(step, 2 * step), np.uint64(64 - step)
            left = np.right_shift(high[:step], rest, out=room[:step])
            np.take(returns, left.view(np.int64), out=low[there], mode="clip")  # no index is too large: no check
            np.left_shift(high[:step], np.uint64(step), out=high[there])
            high[there] |= np.right_shift(low[:step], rest, out=room[:step])
            low[there] ^= np.left_shift(low[:step], np.uint64(step), out=room[:step])
        self._tweaked[:, :, 0], self._tweaked[:, :, 1] = low.T, high.T
        masks: Lanes = self._tweaked.reshape(len(ivs), -1).view(np.uint64)
        return masks


_STEPS = (1, 2, 4, 8, 16)
"""Powers of alpha that are there before each doubling."""


@cache
def _returns(bits: int) -> Lanes:
    """What numbers of so many bits that left at the top come back as: times alpha^7 + alpha^2 + alpha + 1."""
    import numpy as np

    left: Lanes = np.arange(1 << bits, dtype=np.uint64)
    back: Lanes = left ^ left << np.uint64(1) ^ left << np.uint64(2) ^ left << np.uint64(7)
    return back


MODES: dict[str, Callable[[Blocks], Mode]] = {"ecb": Ecb, "cbc": Cbc, "ctr": Ctr}
"""Name -> maker of the modes that need one key; XTS needs two."""


# -- sectors --------------------------------------------------------------------------------------------------------


class SectorCipher:
    """A :class:`~qcow2inspect.cipher.protocol.Cipher` from a mode and its initialization vectors.

    Args:
        mode: mode of operation with its key.
        ivs: makes the initialization vectors of sector numbers.
        counts_host_sectors: what sector numbers count; see the protocol.
    """

    def __init__(self, mode: Mode, ivs: Ivs, *, counts_host_sectors: bool) -> None:
        self.counts_host_sectors = counts_host_sectors
        self._mode = mode
        self._ivs = ivs
        self._one_at_a_time = threading.Lock()  # columns are so short that two threads would only wait for each other

    def decrypt(self, data: bytes, first_sector: int) -> bytes:
        """Plain bytes of consecutive sectors; see :meth:`qcow2inspect.cipher.protocol.Cipher.decrypt`."""
        return self._run(self._mode.decrypt, data, first_sector)

    def encrypt(self, data: bytes, first_sector: int) -> bytes:
        """The inverse of :meth:`decrypt`."""
        return self._run(self._mode.encrypt, data, first_sector)

    def _run(self, work: Callable[[Lanes, Lanes], Lanes], data: bytes, first_sector: int) -> bytes:
        import numpy as np

        if len(data) % SECTOR:
            raise ValueError(f"{len(data):,} bytes are no whole number of sectors")
        source = np.frombuffer(data, dtype=np.uint64).reshape(-1, SECTOR // _LANE)
        done = []
        with self._one_at_a_time:
            for at in range(0, len(source), _BATCH // SECTOR):
                part = source[at : at + _BATCH // SECTOR]
                sectors = np.arange(len(part), dtype=np.uint64) + np.uint64(first_sector + at)
                done.append(work(part, self._ivs(sectors)).data)
        return b"".join(done)
