"""Many sectors at once give exactly what the library gives for each sector alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import CAST5
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.cipher.aes import legacy_aes
from qcow2inspect.cipher.sectors import (
    Blocks,
    Cbc,
    Ctr,
    Ecb,
    Mode,
    SectorCipher,
    Xts,
    essiv_ivs,
    plain64_ivs,
    plain_ivs,
)
from tests.images import noise

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Peer = Callable[[bytes], Any]

KEY = noise(1, 64)
FIRST = st.integers(0, 1 << 20) | st.integers(0, (1 << 55) - 1) | st.sampled_from([0xFFFF_FFFF, 1 << 32, (1 << 55) - 9])
SECTORS = st.integers(0, 9) | st.sampled_from([255, 256, 257])  # about the size of a batch


def plain64(sector: int) -> bytes:
    return sector.to_bytes(16, "little")


def plain(sector: int) -> bytes:
    return (sector & 0xFFFF_FFFF).to_bytes(16, "little")


def essiv(sector: int) -> bytes:
    return Cipher(AES(KEY[40:56]), modes.ECB()).encryptor().update(plain64(sector))


IVS = {
    "plain64": (plain64, plain64_ivs),
    "plain": (plain, plain_ivs),
    "essiv": (essiv, essiv_ivs(Blocks(AES(KEY[40:56])))),
}
OURS: dict[str, Mode] = {
    "xts-256": Xts(Blocks(AES(KEY[:32])), Blocks(AES(KEY[32:]))),
    "xts-128": Xts(Blocks(AES(KEY[:16])), Blocks(AES(KEY[16:32]))),
    "cbc-128": Cbc(Blocks(AES(KEY[:16]))),
    "cbc-192": Cbc(Blocks(AES(KEY[:24]))),
    "ctr-256": Ctr(Blocks(AES(KEY[:32]))),
    "ecb-256": Ecb(Blocks(AES(KEY[:32]))),
}
PEERS: dict[str, Peer] = {
    "xts-256": lambda iv: Cipher(AES(KEY), modes.XTS(iv)),
    "xts-128": lambda iv: Cipher(AES(KEY[:32]), modes.XTS(iv)),
    "cbc-128": lambda iv: Cipher(AES(KEY[:16]), modes.CBC(iv)),
    "cbc-192": lambda iv: Cipher(AES(KEY[:24]), modes.CBC(iv)),
    "ctr-256": lambda iv: Cipher(AES(KEY[:32]), modes.CTR(iv)),
    "ecb-256": lambda iv: Cipher(AES(KEY[:32]), modes.ECB()),
}


def one_by_one(peer: Peer, iv: Callable[[int], bytes], data: bytes, first: int) -> bytes:
    return b"".join(
        peer(iv(first + at // 512)).encryptor().update(data[at : at + 512]) for at in range(0, len(data), 512)
    )


@given(st.sampled_from(sorted(OURS)), st.sampled_from(sorted(IVS)), FIRST, SECTORS)
def test_sectors_are_those_of_the_library(name: str, iv_name: str, first: int, count: int) -> None:
    data = noise(count, count * 512)
    theirs, ours = IVS[iv_name]
    expected = one_by_one(PEERS[name], theirs, data, first)
    cipher = SectorCipher(OURS[name], ours, counts_host_sectors=True)
    assert cipher.encrypt(data, first) == expected
    assert cipher.decrypt(expected, first) == data


def test_a_counter_runs_over_into_the_upper_half() -> None:
    iv = b"\x17" * 8 + b"\xff" * 8

    def ivs(sectors: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        import numpy as np

        return np.frombuffer(iv * len(sectors), dtype=np.uint64).reshape(-1, 2)

    cipher = SectorCipher(OURS["ctr-256"], ivs, counts_host_sectors=True)
    data = noise(3, 1024)
    assert cipher.decrypt(data, 0) == one_by_one(PEERS["ctr-256"], lambda _: iv, data, 0)


@given(FIRST, SECTORS)
def test_blocks_of_64_bits(first: int, count: int) -> None:
    data = noise(count, count * 512)
    blocks = Blocks(CAST5(KEY[:16]))
    bare = Cipher(CAST5(KEY[:16]), modes.ECB()).encryptor()
    by_hand = bytearray()
    for at in range(0, len(data), 512):
        last = (first + at // 512).to_bytes(8, "little")
        for block in range(at, at + 512, 8):
            last = bare.update(bytes(a ^ b for a, b in zip(data[block : block + 8], last, strict=True)))
            by_hand += last
    cipher = SectorCipher(Cbc(blocks), plain64_ivs, counts_host_sectors=True)
    assert cipher.encrypt(data, first) == by_hand
    assert cipher.decrypt(bytes(by_hand), first) == data


def test_a_counter_of_64_bits_wraps() -> None:
    first = int.from_bytes(b"\xff" * 8, "little") - 5
    bare = Cipher(CAST5(KEY[:16]), modes.ECB()).encryptor()
    start = int.from_bytes(first.to_bytes(8, "little"), "big")
    stream = bare.update(b"".join(((start + n) % (1 << 64)).to_bytes(8, "big") for n in range(64)))
    cipher = SectorCipher(Ctr(Blocks(CAST5(KEY[:16]))), plain64_ivs, counts_host_sectors=True)
    assert cipher.decrypt(bytes(512), first) == stream


@pytest.mark.parametrize("size", [1, 511, 513])
def test_parts_of_sectors_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="whole number of sectors"):
        legacy_aes(b"x").decrypt(bytes(size), 0)


@pytest.mark.parametrize("passphrase", [b"", b"short", b"exactly 16 bytes", b"a passphrase of more than 16 bytes"])
def test_legacy_aes_takes_16_bytes_of_the_passphrase(passphrase: bytes) -> None:
    key = passphrase[:16].ljust(16, b"\0")
    data = noise(8, 4096)
    expected = one_by_one(lambda iv: Cipher(AES(key), modes.CBC(iv)), plain64, data, 77)
    cipher = legacy_aes(passphrase)
    assert cipher.encrypt(data, 77) == expected
    assert cipher.decrypt(expected, 77) == data
    assert not cipher.counts_host_sectors


def test_threads_share_a_cipher() -> None:
    from concurrent.futures import ThreadPoolExecutor

    cipher = SectorCipher(OURS["xts-256"], plain64_ivs, counts_host_sectors=True)
    data = noise(2, 1 << 19)
    expected = [cipher.decrypt(data, first) for first in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda first: cipher.decrypt(data, first), range(8))) == expected
