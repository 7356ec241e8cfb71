"""What a disk needs from whatever decrypts its sectors."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Cipher"]


class Cipher(Protocol):
    """Decrypts whole sectors of 512 bytes; safe to use from several threads."""

    @property
    def counts_host_sectors(self) -> bool:
        """What the number of a sector counts: True for host offset / 512 (LUKS), False for guest offset / 512 (AES)."""

    def decrypt(self, data: bytes, first_sector: int) -> bytes:
        """Plain bytes of consecutive sectors.

        Args:
            data: encrypted bytes, a multiple of 512.
            first_sector: number of the first sector, in units of 512 bytes.

        Raises:
            ValueError: ``data`` is no multiple of 512 bytes.
        """
