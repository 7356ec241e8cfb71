"""What QEMU verifies of the pointer to a LUKS header and of the LUKS header itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qcow2inspect.format.extensions.encryption import EncryptionPointer
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.luks import LUKS_MAGIC, LuksHeader, SlotState, read_luks
from qcow2inspect.image.obstacle import Obstacle
from qcow2inspect.layout.structure import printable
from qcow2inspect.units import HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.format.extensions.encryption import EncryptionHeader
    from qcow2inspect.format.luks import LuksHeaderFields
    from qcow2inspect.image.image import Image

__all__ = ["encryption_obstacles", "key_material"]

_HEADER_SECTORS = 8
_STRIPES = 4000
_HASHES = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160")
_KEY_SIZES = {"aes": (16, 24, 32), "serpent": (16, 24, 32), "twofish": (16, 24, 32), "cast5": (16,)}
_MODE = re.compile(r"(ecb|cbc|xts|ctr)-(plain|plain64|essiv)(?::(.*))?", re.DOTALL)


def encryption_obstacles(image: Image, extension: EncryptionHeader, path: str) -> Iterator[Obstacle]:
    """What is wrong with the extension at address ``path`` and with what it points to."""
    method = image.header.crypt_method
    if method is not CryptMethod.LUKS:
        what = f"a header extension points to a LUKS header, the encryption method is {method.shown}"
        yield _obstacle("QCOW-CRY-EXT-UNEXPECTED", method, what, f"{path}.magic")
        return
    pointer = extension.pointer
    if len(extension.data) != EncryptionPointer.SIZE or pointer is None:
        size = len(extension.data)
        what = f"the pointer to the LUKS header is {size:,} bytes long; it has {EncryptionPointer.SIZE}"
        yield _obstacle("QCOW-CRY-EXT-BAD", size, what, f"{path}.length")
    elif not image.geometry.is_aligned(pointer.offset):
        what = f"the LUKS header lies at {pointer.offset}, no multiple of the cluster size"
        yield _obstacle("QCOW-CRY-EXT-BAD", pointer.offset, what, f"{path}.data.offset")
    elif pointer.length < LuksHeader.SIZE:
        what = f"the LUKS header is {pointer.length:,} bytes long; it has at least {LuksHeader.SIZE}"
        yield _obstacle("QCOW-CRY-EXT-BAD", pointer.length, what, f"{path}.data.length")
    elif pointer.offset >= image.end:
        what = f"the LUKS header lies at {pointer.offset}, the file ends at {image.end}"
        yield _obstacle("QCOW-CRY-EXT-BAD", pointer.offset, what, f"{path}.data.offset")
    else:
        yield from _header(image, pointer, path)


def key_material(luks: LuksHeader, index: int) -> HostRange:
    """Host bytes of the key material of a key slot, as long as QEMU takes it to be."""
    slot = luks.slots[index]
    start = luks.at + slot.key_material_offset * SECTOR
    return HostRange.at(start, _material_sectors(luks.fields.key_bytes) * SECTOR)


def _material_sectors(key_bytes: int) -> int:
    sectors = -(-key_bytes * _STRIPES // SECTOR)
    return -(-sectors // _HEADER_SECTORS) * _HEADER_SECTORS


def _header(image: Image, pointer: EncryptionPointer, path: str) -> Iterator[Obstacle]:
    data = image.read(pointer.offset, LuksHeader.SIZE)
    if not data.startswith(LUKS_MAGIC):
        what = f"at {pointer.offset}, where the LUKS header should be, stands {data[:6].hex(' ')}"
        yield _obstacle("QCOW-CRY-LUKS-BAD", pointer.offset, what, f"{path}.data.offset")
        return
    luks = read_luks(data, pointer.offset)
    is_addressed = image.luks is not None and image.luks.at == luks.at
    for name, value, what in (*_odd_fields(luks.fields), *_odd_slots(luks)):
        address = f"luks.{name}" if is_addressed else f"{path}.data.offset"
        yield _obstacle("QCOW-CRY-LUKS-BAD", value, f"LUKS header: {what}", address)


def _obstacle(code: str, value: int, what: str, path: str) -> Obstacle:
    return Obstacle(code, "crypt_method", value, what, blocks_reading=False, path=path)


def _odd_fields(fields: LuksHeaderFields) -> Iterator[tuple[str, int, str]]:
    """Field, value and what is wrong with it."""
    if fields.version != 1:
        yield "version", fields.version, f"version {fields.version} is not 1"
    for name in ("cipher_name", "cipher_mode", "hash_spec"):
        if b"\0" not in getattr(fields, name):
            yield name, 0, f"{name} is not terminated"
    if fields.payload_offset < _HEADER_SECTORS:
        yield "payload_offset", fields.payload_offset, "the payload overlaps the header"
    if not fields.mk_digest_iterations:
        yield "mk_digest_iterations", 0, "the number of iterations is zero"
    yield from _odd_cipher(fields)


def _odd_cipher(fields: LuksHeaderFields) -> Iterator[tuple[str, int, str]]:
    """A cipher, mode or hash that QEMU does not have."""
    cipher, mode, digest = (_text(part) for part in (fields.cipher_name, fields.cipher_mode, fields.hash_spec))
    known = _MODE.fullmatch(mode)
    if known is None or (known[2] == "essiv" and known[3] not in _HASHES):
        yield "cipher_mode", 0, f"the cipher mode “{mode}” is unknown"
    size = fields.key_bytes // 2 if mode.startswith("xts") else fields.key_bytes
    if size not in _KEY_SIZES.get(cipher, ()):
        yield "cipher_name", 0, f"the cipher “{cipher}” with a key of {size:,} bytes is unknown"
    if digest not in _HASHES:
        yield "hash_spec", 0, f"the hash “{digest}” is unknown"


def _text(part: bytes) -> str:
    return printable(part.partition(b"\0")[0])


def _odd_slots(luks: LuksHeader) -> Iterator[tuple[str, int, str]]:
    """Field, value and what is wrong with it, for every key slot."""
    size = _material_sectors(luks.fields.key_bytes)
    for index, slot in enumerate(luks.slots):
        name, at = f"slot[{index}]", slot.key_material_offset
        if slot.stripes != _STRIPES:
            yield f"{name}.stripes", slot.stripes, f"key slot {index} has {slot.stripes:,} stripes, not {_STRIPES:,}"
        if at < _HEADER_SECTORS:
            yield f"{name}.key_material_offset", at, f"key slot {index} overlaps the header"
        if not slot.active.known:
            yield f"{name}.active", slot.active, f"the state of key slot {index} is {int(slot.active):#x}"
        if slot.active is SlotState.ENABLED and not slot.iterations:
            yield f"{name}.iterations", 0, f"the number of iterations of key slot {index} is zero"
        if _end(at, size) > luks.fields.payload_offset:
            yield f"{name}.key_material_offset", at, f"key slot {index} overlaps the payload"
        for other, behind in enumerate(luks.slots[index + 1 :], index + 1):
            start = behind.key_material_offset
            if _end(at, size) > start and _end(start, size) > at:
                yield f"{name}.key_material_offset", at, f"key slots {index} and {other} overlap"


def _end(start: int, size: int) -> int:
    """Where key material ends, in sectors, as QEMU counts: in 32 bits, so that the last sectors wrap around."""
    return (start + size) & 0xFFFF_FFFF
