"""LUKS headers made on the spot: any cipher, any slot, a few iterations, so that a test takes no time."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field, replace

from qcow2inspect.cipher.derivation import merge
from qcow2inspect.cipher.luks import STRIPES, cipher_of
from qcow2inspect.format.luks import LUKS_MAGIC, LuksHeader, LuksHeaderFields, LuksKeySlot, SlotState
from qcow2inspect.units import HostOffset

ITERATIONS = 7
AT = HostOffset(0x10000)


@dataclass
class Volume:
    """A LUKS header with key material, as it would lie in an image at :data:`AT`."""

    cipher: str = "aes"
    mode: str = "xts-plain64"
    hash_name: str = "sha256"
    key_size: int = 64
    passphrases: dict[int, bytes] = field(default_factory=lambda: {0: b"secret"})

    def __post_init__(self) -> None:
        source = random.Random(5)
        self.key = source.randbytes(self.key_size)
        self.material: dict[int, bytes] = {}
        self.header = self._empty(source)
        for index, passphrase in self.passphrases.items():
            self._fill(source, index, passphrase)

    def _empty(self, source: random.Random) -> LuksHeader:
        salt = source.randbytes(32)
        digest = hashlib.pbkdf2_hmac(self.hash_name, self.key, salt, ITERATIONS, 20)
        fields = LuksHeaderFields(
            magic=LUKS_MAGIC,
            version=1,
            cipher_name=self.cipher.encode().ljust(32, b"\0"),
            cipher_mode=self.mode.encode().ljust(32, b"\0"),
            hash_spec=self.hash_name.encode().ljust(32, b"\0"),
            payload_offset=4040,
            key_bytes=self.key_size,
            mk_digest=digest,
            mk_digest_salt=salt,
            mk_digest_iterations=ITERATIONS,
            uuid=b"0".ljust(40, b"\0"),
        )
        sectors = -(-self.key_size * STRIPES // 4096) * 8
        slots = (
            LuksKeySlot(SlotState.DISABLED, ITERATIONS, bytes(32), 8 + index * sectors, STRIPES) for index in range(8)
        )
        return LuksHeader(AT, fields, tuple(slots))

    def _fill(self, source: random.Random, index: int, passphrase: bytes) -> None:
        salt = source.randbytes(32)
        self.change(index, active=SlotState.ENABLED, salt=salt)
        stripes = source.randbytes(self.key_size * (STRIPES - 1))
        last = merge(self.hash_name, stripes + bytes(self.key_size), self.key_size)
        plain = stripes + bytes(a ^ b for a, b in zip(last, self.key, strict=True))
        slot_key = hashlib.pbkdf2_hmac(self.hash_name, passphrase, salt, ITERATIONS, self.key_size)
        padded = plain.ljust(-(-len(plain) // 512) * 512, b"\0")
        self.material[index] = cipher_of(self.header, slot_key).encrypt(padded, 0)[: len(plain)]

    def change(self, index: int, **fields: object) -> None:
        """Change fields of a key slot."""
        slots = list(self.header.slots)
        slots[index] = replace(slots[index], **fields)  # type: ignore[arg-type]  # any field, right or wrong
        self.header = replace(self.header, slots=tuple(slots))

    def change_header(self, **fields: object) -> None:
        """Change fields of the fixed part."""
        changed = replace(self.header.fields, **fields)  # type: ignore[arg-type]  # any field, right or wrong
        self.header = replace(self.header, fields=changed)

    def read(self, offset: int, size: int) -> bytes:
        """What lies in the image; zeros where no key material is."""
        for index, material in self.material.items():
            start = AT + self.header.slots[index].key_material_offset * 512
            if start <= offset < start + len(material):
                return material[offset - start : offset - start + size].ljust(size, b"\0")
        return bytes(size)
