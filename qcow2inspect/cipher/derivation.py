"""From passphrase to key: PBKDF2 that can be stopped, and LUKS's anti-forensic merge.

Spec: LUKS1 On-Disk Format Specification 1.2.3, sections 2.4 and 5.
"""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING

from qcow2inspect.errors import Unsupported

if TYPE_CHECKING:
    from qcow2inspect.progress import Progress

__all__ = ["HASHES", "MAX_ITERATIONS", "derive", "merge", "require_hash"]

HASHES = ("md5", "ripemd160", "sha1", "sha224", "sha256", "sha384", "sha512")
"""Names of the hash functions that QEMU knows in a LUKS header."""

MAX_ITERATIONS = 1 << 28
"""More than any sensible machine takes in a minute; what asks for more would hold the user for hours."""

_PATIENCE = 0.05  # seconds between two questions whether to go on


def require_hash(name: str) -> str:
    """``name``, if it is a hash function that can be computed here.

    Raises:
        Unsupported: LUKS does not know the name, or this Python was built without the function.
    """
    if name not in HASHES:
        raise Unsupported(
            f"the LUKS header asks for the hash function “{name}”; known are {', '.join(HASHES)}",
            hint="the header is damaged, or was written by another program than QEMU",
        )
    try:
        hashlib.new(name, usedforsecurity=False)
    except ValueError:
        raise Unsupported(
            f"the LUKS header asks for the hash function {name}, which this Python's OpenSSL does not offer",
            hint="use a Python whose OpenSSL has it (its “legacy” provider)",
        ) from None
    return name


def derive(hash_name: str, secret: bytes, salt: bytes, iterations: int, size: int, *, progress: Progress) -> bytes:
    """PBKDF2: ``size`` bytes from a secret.

    The computation runs in a thread, because hashlib cannot be interrupted: the caller is asked twenty times a
    second whether to go on. When the user stops, the thread is left behind and ends with the process or by itself.

    Raises:
        Cancelled: the user asked to stop.
    """
    key: Future[bytes] = Future()

    def work() -> None:
        try:
            key.set_result(_pbkdf2(hash_name, secret, salt, iterations, size))
        except BaseException as error:  # whatever it is, the thread that waits gets it
            key.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    while True:
        progress.advance(0)
        with suppress(TimeoutError):
            return key.result(_PATIENCE)


def _pbkdf2(hash_name: str, secret: bytes, salt: bytes, iterations: int, size: int) -> bytes:
    """PBKDF2 of the cryptography library, whose OpenSSL is nearly twice as fast as that of most Pythons."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

    function = getattr(hashes, hash_name.upper(), None)
    if function is None:  # it does not offer ripemd160
        return hashlib.pbkdf2_hmac(hash_name, secret, salt, iterations, size)
    return PBKDF2HMAC(function(), size, salt, iterations).derive(secret)


def merge(hash_name: str, material: bytes, size: int) -> bytes:
    """The key that key material of whole stripes of ``size`` bytes stands for.

    The exclusive or of all stripes, spread by the hash function after every stripe but the last.
    """
    stripes = [material[at : at + size] for at in range(0, len(material), size)]
    key = bytes(size)
    for stripe in stripes[:-1]:
        key = _spread(hash_name, _xor(key, stripe))
    return _xor(key, stripes[-1])


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


def _spread(hash_name: str, data: bytes) -> bytes:
    """Every digest-sized piece replaced by the hash of its number and itself; the last one cut to its length."""
    empty = hashlib.new(hash_name, usedforsecurity=False)  # to find a function by its name takes longer than to copy it
    step, digests = empty.digest_size, []
    for index, at in enumerate(range(0, len(data), step)):
        digest = empty.copy()
        digest.update(index.to_bytes(4, "big") + data[at : at + step])
        digests.append(digest.digest())
    return b"".join(digests)[: len(data)]
