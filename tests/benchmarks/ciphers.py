"""Decryption: all sectors at once, and one call of the library for each sector; ratios of medians.

``python tests/benchmarks/ciphers.py``
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from qcow2inspect.cipher.aes import legacy_aes
from qcow2inspect.cipher.sectors import Blocks, Ctr, SectorCipher, Xts, plain64_ivs

DATA = os.urandom(16 << 20)
KEY = os.urandom(64)
RUNS = 5


def each(make: Callable[[bytes], Any]) -> Callable[[], bytes]:
    """One call of the library for each sector."""

    def run() -> bytes:
        view = memoryview(DATA)
        contexts = ((at, make((at // 512).to_bytes(16, "little")).decryptor()) for at in range(0, len(DATA), 512))
        return b"".join(context.update(view[at : at + 512]) for at, context in contexts)

    return run


def together(cipher: SectorCipher) -> Callable[[], bytes]:
    return lambda: cipher.decrypt(DATA, 0)


def seconds(work: Callable[[], bytes]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


PAIRS = {
    "AES-256 XTS (LUKS default)": (
        together(
            SectorCipher(Xts(Blocks(AES(KEY[:32])), Blocks(AES(KEY[32:]))), plain64_ivs, counts_host_sectors=True)
        ),
        each(lambda iv: Cipher(AES(KEY), modes.XTS(iv))),
    ),
    "AES-128 CBC (legacy)": (together(legacy_aes(KEY[:16])), each(lambda iv: Cipher(AES(KEY[:16]), modes.CBC(iv)))),
    "AES-256 CTR": (
        together(SectorCipher(Ctr(Blocks(AES(KEY[:32]))), plain64_ivs, counts_host_sectors=True)),
        each(lambda iv: Cipher(AES(KEY[:32]), modes.CTR(iv))),
    ),
}


def main() -> None:
    print("| cipher | all at once | each sector | ratio |\n|---|---|---|---|")
    for name, (ours, peer) in PAIRS.items():
        assert ours() == peer()
        pairs = [(seconds(ours), seconds(peer)) for _ in range(RUNS)]
        mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        rate = [f"{len(DATA) / value / 1e6:,.0f} MB/s" for value in (mine, theirs)]
        print(f"| {name} | {rate[0]} | {rate[1]} | {mine / theirs:.2f} |")


if __name__ == "__main__":
    main()
