"""Encryption method 1, AES: the passphrase itself is the key of AES-128 in CBC mode.

The specification speaks of a 256-bit key; QEMU has always used 128 bits, and so do the images. Nothing in the image
tells a right passphrase from a wrong one: a wrong one gives noise.

Spec: Data encryption, crypt_method 1.
"""

from __future__ import annotations

from qcow2inspect.cipher.sectors import Blocks, Cbc, SectorCipher, plain64_ivs

__all__ = ["legacy_aes"]

_KEY_SIZE = 16


def legacy_aes(passphrase: bytes) -> SectorCipher:
    """The cipher of encryption method 1; sector numbers count guest sectors.

    Args:
        passphrase: as the user types it; what follows the first 16 bytes does not count.
    """
    from cryptography.hazmat.primitives.ciphers.algorithms import AES

    key = passphrase[:_KEY_SIZE].ljust(_KEY_SIZE, b"\0")
    return SectorCipher(Cbc(Blocks(AES(key))), plain64_ivs, counts_host_sectors=False)
