"""Images of version 1, made byte by byte."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qcow2inspect.cipher.aes import legacy_aes
from qcow2inspect.codec.deflate import Deflate
from qcow2inspect.format.v1 import HeaderV1, compressed_descriptor_v1
from qcow2inspect.image.v1 import V1Image
from qcow2inspect.source.memory import MemorySource


@dataclass
class V1Recipe:
    """What a version 1 image holds.

    Attributes:
        size: virtual disk size.
        clusters: guest cluster number -> its bytes, stored as they are.
        packed: guest cluster number -> its bytes, stored compressed.
        passphrase: None for an image that is not encrypted.
        entries: guest cluster number -> an L2 entry, right or wrong, put in at last.
        spans: L1 index -> an L1 entry, put in at last.
        header: header fields, put in at last.
    """

    size: int
    clusters: dict[int, bytes] = field(default_factory=dict)
    packed: dict[int, bytes] = field(default_factory=dict)
    cluster_bits: int = 12
    l2_bits: int = 9
    backing: bytes = b""
    passphrase: bytes | None = None
    entries: dict[int, int] = field(default_factory=dict)
    spans: dict[int, int] = field(default_factory=dict)
    header: dict[str, int] = field(default_factory=dict)

    @property
    def cluster_size(self) -> int:
        return 1 << self.cluster_bits

    def build(self) -> bytes:
        cluster, per_table = self.cluster_size, 1 << self.l2_bits
        l1_at = 48 + -(-len(self.backing) // 8) * 8
        l1_size = -(-self.size // (cluster * per_table))
        image = bytearray(l1_at + 8 * l1_size)
        places: dict[int, int] = {}
        for number, data in sorted(self.clusters.items()):
            image += bytes(-len(image) % 512)
            places[number] = len(image)
            image += self._sealed(number, data.ljust(cluster, b"\0"))
        for number, data in sorted(self.packed.items()):
            stream = Deflate().compress(data.ljust(cluster, b"\0"))
            places[number] = compressed_descriptor_v1(self.cluster_bits).make(
                compressed=1, compressed_size=len(stream), host_offset=len(image)
            )
            image += stream
        places |= self.entries
        for l1_index in sorted({number // per_table for number in places}):
            image[l1_at + 8 * l1_index : l1_at + 8 * l1_index + 8] = len(image).to_bytes(8, "big")
            image += b"".join(
                places.get(number, 0).to_bytes(8, "big")
                for number in range(l1_index * per_table, (l1_index + 1) * per_table)
            )
        for l1_index, entry in self.spans.items():
            image[l1_at + 8 * l1_index : l1_at + 8 * l1_index + 8] = entry.to_bytes(8, "big")
        header: dict[str, Any] = {
            "magic": 0x514649FB,
            "version": 1,
            "backing_file_offset": 48 if self.backing else 0,
            "backing_file_size": len(self.backing),
            "size": self.size,
            "cluster_bits": self.cluster_bits,
            "l2_bits": self.l2_bits,
            "padding": bytes(2),
            "crypt_method": int(self.passphrase is not None),
            "l1_table_offset": l1_at,
            "mtime": 0,
        }
        image[:48] = HeaderV1(**(header | self.header)).encode()
        image[48 : 48 + len(self.backing)] = self.backing
        return bytes(image)

    def _sealed(self, number: int, data: bytes) -> bytes:
        if self.passphrase is None:
            return data
        return legacy_aes(self.passphrase).encrypt(data, number * self.cluster_size // 512)

    def model(self, under: bytes = b"") -> bytes:
        """What a guest reads; ``under`` is the backing disk."""
        whole = -(-self.size // self.cluster_size) * self.cluster_size
        disk = bytearray(under[:whole].ljust(whole, b"\0"))
        for number, data in (self.clusters | self.packed).items():
            at = number * self.cluster_size
            disk[at : at + self.cluster_size] = data.ljust(self.cluster_size, b"\0")
        return bytes(disk[: self.size // 512 * 512])

    def image(self) -> V1Image:
        return V1Image(MemorySource(self.build()))
