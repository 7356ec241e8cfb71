"""Images of any size of which only the metadata is stored: what a check reads, without the data nobody looks at."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

MAGIC = 0x514649FB
COPIED = 1 << 63


@dataclass(frozen=True)
class Mapped:
    """A fully mapped disk, with 16-bit refcounts.

    Attributes:
        size: guest bytes.
        cluster_bits: log2 of the cluster size.
        shuffled: data clusters lie in random order.
        extended: with extended L2 entries.
        snapshots: internal snapshots that share everything.
        aliases: L1 entries that all lead to the first L2 table; 0 for an honest image.
    """

    size: int
    cluster_bits: int = 16
    shuffled: bool = False
    extended: bool = False
    snapshots: int = 0
    aliases: int = 0

    def write(self, path: Path) -> Path:
        """Write the image as a sparse file."""
        with path.open("wb") as file:
            _Writer(self, file).write()
        return path


class _Writer:
    def __init__(self, image: Mapped, file: BinaryIO) -> None:
        self._image, self._file = image, file
        self._cs = cs = 1 << image.cluster_bits
        self._clusters = image.size // cs
        self._per_table = cs // (16 if image.extended else 8)
        self._tables = -(-self._clusters // self._per_table)
        self._l1_size = image.aliases or self._tables
        l1_bytes = -(-self._l1_size * 8 // cs) * cs
        self._l2 = cs + l1_bytes
        self._data = self._l2 + self._tables * cs
        self._l1_copies = self._data + self._clusters * cs
        self._snapshot_table = self._l1_copies + image.snapshots * l1_bytes
        self._l1_bytes = l1_bytes
        self._rt = self._snapshot_table + (cs if image.snapshots else 0)
        used, per_block = self._rt // cs, cs // 2
        total = used
        for _ in range(4):
            blocks = -(-total // per_block)
            total = used + -(-blocks * 8 // cs) + blocks
        self._blocks, self._total = blocks, total

    def write(self) -> None:
        self._file.truncate(self._total * self._cs)
        self._header()
        first = np.arange(self._tables, dtype=np.uint64) * np.uint64(self._cs) + np.uint64(self._l2)
        table = np.resize(first[:1], self._l1_size) if self._image.aliases else first
        self._copied = COPIED if not self._image.snapshots and not self._image.aliases else 0
        l1 = (table | np.uint64(self._copied)).astype(">u8").tobytes()
        self._put(self._cs, l1)
        self._l2_tables()
        self._snapshots(l1)
        self._refcounts()

    def _put(self, at: int, data: bytes) -> None:
        self._file.seek(at)
        self._file.write(data)

    def _header(self) -> None:
        image = self._image
        size = image.aliases * self._per_table * self._cs if image.aliases else image.size
        blocks = -(-self._blocks * 8 // self._cs)
        at = self._snapshot_table if image.snapshots else 0
        start = struct.pack(">IIQIIQIIQQII", MAGIC, 3, 0, 0, image.cluster_bits, size, 0, self._l1_size, self._cs,
                            self._rt, blocks, image.snapshots)  # fmt: skip
        self._put(0, start + struct.pack(">QQQQII", at, 16 if image.extended else 0, 0, 0, 4, 112) + bytes(16))

    def _l2_tables(self) -> None:
        order = np.arange(self._clusters, dtype=np.uint64)
        if self._image.shuffled:
            order = np.random.default_rng(1).permutation(order)
        for start in range(0, self._clusters, self._per_table):
            entries = order[start : start + self._per_table] * np.uint64(self._cs) + np.uint64(self._data)
            words = (entries | np.uint64(self._copied)).astype(">u8")
            if self._image.extended:
                both = np.full((len(words), 2), 0xFFFFFFFF, dtype=">u8")
                both[:, 0] = words
                words = both
            self._put(self._l2 + start // self._per_table * self._cs, words.tobytes())

    def _snapshots(self, l1: bytes) -> None:
        for number in range(self._image.snapshots):
            at = self._l1_copies + number * self._l1_bytes
            self._put(at, l1)
            fixed = struct.pack(">QIHHIIQII", at, self._l1_size, 1, 1, 0, 0, 0, 0, 16)
            entry = fixed + struct.pack(">QQ", 0, self._image.size) + b"%da" % number + bytes(6)
            self._put(self._snapshot_table + number * len(entry), entry)

    def _refcounts(self) -> None:
        first = self._rt + -(-self._blocks * 8 // self._cs) * self._cs
        table = np.arange(self._blocks, dtype=np.uint64) * np.uint64(self._cs) + np.uint64(first)
        self._put(self._rt, table.astype(">u8").tobytes())
        counts = np.ones(self._blocks * self._cs // 2, dtype=">u2")
        counts[self._total :] = 0
        counts[self._l2 // self._cs : self._l1_copies // self._cs] = max(1 + self._image.snapshots, self._image.aliases)
        self._put(first, counts.tobytes())
