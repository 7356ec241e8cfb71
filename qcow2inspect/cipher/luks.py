"""Encryption method 2, LUKS version 1: from the header and a passphrase to the cipher of the payload.

::

    passphrase --PBKDF2--> slot key --decrypts--> key material --merge--> master key --digest--> right or wrong
                                                                             |
                                                                             +--> the cipher of guest data

Key material counts its sectors from 0, guest data by the host offset / 512 (QEMU's qcow2 ignores payload_offset).
Iterations, offsets and stripes come from the image and are distrusted.

Spec: Data encryption; LUKS1 On-Disk Format Specification 1.2.3.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING

from qcow2inspect.cipher.derivation import MAX_ITERATIONS, derive, merge, require_hash
from qcow2inspect.cipher.sectors import MODES, Blocks, Mode, SectorCipher, Xts, essiv_ivs, plain64_ivs, plain_ivs
from qcow2inspect.errors import Damaged, NeedsKey, Unsupported
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.luks import LuksHeader, LuksKeySlot, SlotState
from qcow2inspect.layout.structure import printable
from qcow2inspect.progress import Silent
from qcow2inspect.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm

    from qcow2inspect.cipher.sectors import Ivs
    from qcow2inspect.progress import Progress

    Read = Callable[[int, int], bytes]

__all__ = ["STRIPES", "Unlocked", "active_slots", "cipher_of", "slot_trouble", "unlock"]

STRIPES = 4000
"""Anti-forensic stripes of a key slot: the only number that QEMU reads and that anyone writes."""

_LARGEST_KEY = 64


@dataclass(frozen=True, slots=True)
class Unlocked:
    """A LUKS header that a passphrase has opened.

    Attributes:
        cipher: decrypts guest data; sector numbers count host sectors.
        slot_index: the key slot that the passphrase belongs to.
        key_size: length of the master key in bytes.
    """

    cipher: SectorCipher
    slot_index: int
    key_size: int


def active_slots(header: LuksHeader) -> list[int]:
    """Indices of the key slots that say they hold a key."""
    return [index for index, slot in enumerate(header.slots) if slot.active is SlotState.ENABLED]


def slot_trouble(slot: LuksKeySlot) -> str:
    """Why an active key slot cannot be tried; empty if it can."""
    if slot.stripes != STRIPES:
        return f"it has {slot.stripes:,} stripes where only {STRIPES:,} are possible"
    if not slot.iterations:
        return "it has 0 iterations"
    if slot.iterations > MAX_ITERATIONS:
        return f"{slot.iterations:,} iterations are more than the limit of {MAX_ITERATIONS:,}"
    if slot.key_material_offset * SECTOR < LuksHeader.SIZE:
        return f"its key material (sector {slot.key_material_offset}) lies inside the header"
    return ""


def unlock(header: LuksHeader, read: Read, passphrase: bytes, progress: Progress | None = None) -> Unlocked:
    """Try a passphrase on every active key slot, the first one first.

    Args:
        header: the LUKS header.
        read: gives ``size`` bytes of the image file at a host offset, zeros past its end.
        passphrase: as the user types it.
        progress: is asked whether to go on; each slot may take seconds.

    Raises:
        NeedsKey: the passphrase opens no slot that can be tried.
        Damaged: the header's own fields make it impossible to try any passphrase.
        Unsupported: a cipher, mode or hash function that cannot be computed here.
        Cancelled: the user asked to stop.
    """
    progress = progress or Silent()
    Thread(target=import_module, args=("numpy",), daemon=True).start()  # ready when the key is derived
    hash_name = require_hash(_text(header.fields.hash_spec))
    _require_header(header)
    cipher_of(header, bytes(header.fields.key_bytes))  # refuses what it cannot do before any time is spent
    troubles: list[str] = []
    for index in active_slots(header):
        trouble = slot_trouble(header.slots[index])
        if not trouble:
            progress.begin(f"trying key slot {index}, {header.slots[index].iterations:,} iterations", None)
            material = _material(header, read, index)
            trouble = "" if any(material) else "its key material is all zeros"
        if trouble:
            troubles.append(f"key slot {index} cannot be tried: {trouble}")
            continue
        key = _master_key(header, header.slots[index], material, (hash_name, passphrase), progress)
        if key is not None:
            return Unlocked(cipher_of(header, key), index, len(key))
    raise _no_slot(header, troubles)


def _no_slot(header: LuksHeader, troubles: list[str]) -> NeedsKey | Damaged:
    count = len(active_slots(header))
    if len(troubles) == count:
        return Damaged(
            f"the LUKS header at {header.at} has {counted(count, 'active key slot')}, none that can be tried",
            why="; ".join(troubles) or "without a key slot no passphrase can open it",
            hint="a backup of the LUKS header can still hold the key",
        )
    slots = "the only active key slot" if count == 1 else f"none of the {count} active key slots"
    return NeedsKey(
        f"the passphrase does not open {slots}" if count == 1 else f"the passphrase opens {slots}",
        why="; ".join(troubles),
        hint="check case, keyboard layout, and a line break at the end of a key file",
    )


def _require_header(header: LuksHeader) -> None:
    fields = header.fields
    if fields.version != 1:
        raise Unsupported(
            f"the LUKS header at {header.at} is of version {fields.version:,}; qcow2 images hold version 1"
        )
    if not 0 < fields.key_bytes <= _LARGEST_KEY:
        raise Damaged(
            f"the LUKS header at {header.at} speaks of a master key of {fields.key_bytes:,} bytes; "
            f"possible are 1 to {_LARGEST_KEY}",
            why="no such cipher exists",
        )
    if not 0 < fields.mk_digest_iterations <= MAX_ITERATIONS:
        raise Damaged(
            f"the LUKS header at {header.at} asks for {fields.mk_digest_iterations:,} iterations of the master key "
            f"digest; possible are 1 to {MAX_ITERATIONS:,}",
            why="whether a key is the right one cannot be told",
        )


def _material(header: LuksHeader, read: Read, index: int) -> bytes:
    """The encrypted key material of a slot, filled up to whole sectors."""
    size = header.fields.key_bytes * STRIPES
    data = read(header.at + header.slots[index].key_material_offset * SECTOR, size)
    return data.ljust(-(-size // SECTOR) * SECTOR, b"\0")


def _master_key(
    header: LuksHeader, slot: LuksKeySlot, material: bytes, secret: tuple[str, bytes], progress: Progress
) -> bytes | None:
    """The master key that a slot gives for a passphrase; None if its digest says it is the wrong one."""
    (hash_name, passphrase), fields = secret, header.fields
    size = fields.key_bytes
    slot_key = derive(hash_name, passphrase, slot.salt, slot.iterations, size, progress=progress)
    plain = cipher_of(header, slot_key).decrypt(material, 0)
    key = merge(hash_name, plain[: size * STRIPES], size)
    digest = derive(
        hash_name,
        key,
        fields.mk_digest_salt,
        fields.mk_digest_iterations,
        len(fields.mk_digest),
        progress=progress,
    )
    return key if hmac.compare_digest(digest, fields.mk_digest) else None


# -- the cipher that the header names -------------------------------------------------------------------------------


def cipher_of(header: LuksHeader, key: bytes) -> SectorCipher:
    """The cipher that a LUKS header names, under ``key``.

    Raises:
        Unsupported: the cipher, its mode or its initialization vectors cannot be computed here.
        Damaged: the length of the key does not go with the cipher.
    """
    name, spec = _text(header.fields.cipher_name), _text(header.fields.cipher_mode)
    mode_name, _, iv_name = spec.partition("-")
    return SectorCipher(_mode(name, mode_name, key), _ivs(name, mode_name, iv_name, key), counts_host_sectors=True)


def _mode(name: str, mode_name: str, key: bytes) -> Mode:
    if mode_name == "xts":
        half = len(key) // 2
        blocks, tweaks = Blocks(_algorithm(name, key[:half])), Blocks(_algorithm(name, key[half:]))
        if blocks.lanes != 2:
            raise Unsupported(f"the LUKS header asks for {name} in XTS mode, which needs blocks of 128 bits")
        return Xts(blocks, tweaks)
    maker = MODES.get(mode_name)
    if maker is None:
        raise Unsupported(
            f"the LUKS header asks for the cipher mode “{mode_name}”; known are {', '.join([*MODES, 'xts'])}",
            hint="the header is damaged, or was written by another program than QEMU",
        )
    return maker(Blocks(_algorithm(name, key)))


def _ivs(name: str, mode_name: str, iv_name: str, key: bytes) -> Ivs:
    generator, _, hash_name = iv_name.partition(":")
    if generator == "plain64" or (mode_name == "ecb" and not generator):
        return plain64_ivs
    if generator == "plain":
        return plain_ivs
    if generator != "essiv":
        raise Unsupported(
            f"the LUKS header asks for initialization vectors “{iv_name}”; known are plain, plain64, essiv:HASH",
            hint="the header is damaged, or was written by another program than QEMU",
        )
    import hashlib

    digest = hashlib.new(require_hash(hash_name), key, usedforsecurity=False).digest()
    return essiv_ivs(Blocks(_algorithm(name, digest)))


def _algorithm(name: str, key: bytes) -> BlockCipherAlgorithm:
    if name in ("serpent", "twofish"):
        raise Unsupported(
            f"the LUKS header asks for the cipher {name}, which the cryptography library does not offer",
            why="guest data cannot be decrypted here",
            hint="“qemu-img convert --image-opts ... --object secret” decrypts with the passphrase",
        )
    sizes, maker = _ALGORITHMS.get(name, ((), None))
    if maker is None:
        raise Unsupported(
            f"the LUKS header asks for the cipher “{name}”; known are {', '.join(_ALGORITHMS)}, serpent, twofish",
            hint="the header is damaged, or was written by another program than QEMU",
        )
    if len(key) not in sizes:
        raise Damaged(
            f"the LUKS header asks for {name} with a key of {len(key)} bytes; "
            f"possible are {', '.join(map(str, sizes))}",
            why="no such cipher exists",
        )
    return maker(key)


def _aes(key: bytes) -> BlockCipherAlgorithm:
    from cryptography.hazmat.primitives.ciphers.algorithms import AES

    return AES(key)


def _cast5(key: bytes) -> BlockCipherAlgorithm:
    from cryptography.hazmat.decrepit.ciphers.algorithms import CAST5

    return CAST5(key)


_ALGORITHMS: dict[str, tuple[tuple[int, ...], Callable[[bytes], BlockCipherAlgorithm]]] = {
    "aes": ((16, 24, 32), _aes),
    "cast5": ((16,), _cast5),
}


def _text(field: bytes) -> str:
    """A name of the header up to its first zero byte, fit to be shown."""
    return printable(field.partition(b"\0")[0])
