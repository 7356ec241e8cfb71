"""Key slots: opened, refused, distrusted."""

from __future__ import annotations

import hashlib
import threading
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.cipher.derivation import HASHES, MAX_ITERATIONS, derive, require_hash
from qcow2inspect.cipher.luks import active_slots, cipher_of, slot_trouble, unlock
from qcow2inspect.errors import Damaged, NeedsKey, Qcow2InspectError, Unsupported
from qcow2inspect.format.luks import SlotState
from qcow2inspect.progress import Cancelled, Silent
from tests.cipher.volumes import AT, Volume
from tests.images import noise

CIPHERS = [
    ("aes", "xts-plain64", 64),
    ("aes", "xts-plain", 48),
    ("aes", "xts-essiv:sha256", 32),
    ("aes", "cbc-plain", 16),
    ("aes", "cbc-essiv:md5", 24),  # its key material ends inside a sector
    ("aes", "ctr-plain64", 32),
    ("aes", "ecb", 16),
    ("cast5", "cbc-plain64", 16),
    ("cast5", "cbc-essiv:md5", 16),
    ("cast5", "ctr-plain", 16),
]


@pytest.mark.parametrize(("name", "mode", "size"), CIPHERS)
def test_the_passphrase_gives_the_cipher(name: str, mode: str, size: int) -> None:
    volume = Volume(name, mode, key_size=size)
    opened = unlock(volume.header, volume.read, b"secret")
    assert (opened.slot_index, opened.key_size) == (0, size)
    assert opened.cipher.counts_host_sectors
    data = noise(1, 2048)
    encrypted = cipher_of(volume.header, volume.key).encrypt(data, 99)
    assert encrypted != data
    assert opened.cipher.decrypt(encrypted, 99) == data


@pytest.mark.parametrize("hash_name", HASHES)
def test_hash_functions(hash_name: str) -> None:
    volume = Volume(hash_name=hash_name)
    assert unlock(volume.header, volume.read, b"secret").slot_index == 0


def test_any_slot_may_hold_the_key() -> None:
    volume = Volume(passphrases={1: b"one", 3: b"three", 7: b"seven"})
    assert active_slots(volume.header) == [1, 3, 7]
    for index, passphrase in volume.passphrases.items():
        assert unlock(volume.header, volume.read, passphrase).slot_index == index


def test_a_wrong_passphrase_opens_none() -> None:
    volume = Volume(passphrases={1: b"one", 3: b"three"})
    with pytest.raises(NeedsKey, match="the passphrase opens none of the 2 active key slots") as caught:
        unlock(volume.header, volume.read, b"two")
    assert not caught.value.why
    volume = Volume()
    with pytest.raises(NeedsKey, match="the passphrase does not open the only active key slot"):
        unlock(volume.header, volume.read, b"secret\n")


def test_a_disabled_slot_is_not_tried() -> None:
    volume = Volume(passphrases={0: b"old", 1: b"new"})
    volume.change(0, active=SlotState.DISABLED)
    assert unlock(volume.header, volume.read, b"new").slot_index == 1
    with pytest.raises(NeedsKey):
        unlock(volume.header, volume.read, b"old")


def test_no_active_slot() -> None:
    volume = Volume(passphrases={})
    with pytest.raises(Damaged, match="has 0 active key slots, none that can be tried"):
        unlock(volume.header, volume.read, b"secret")


TROUBLES = [
    ({"stripes": 3999}, "it has 3,999 stripes"),
    ({"stripes": 0xFFFF_FFFF}, "it has 4,294,967,295 stripes"),
    ({"iterations": 0}, "it has 0 iterations"),
    ({"iterations": MAX_ITERATIONS + 1}, "more than the limit"),
    ({"key_material_offset": 1}, "lies inside the header"),
    ({"key_material_offset": 0xFFFF_FFFF}, "all zeros"),
]


@pytest.mark.parametrize(("fields", "words"), TROUBLES)
def test_a_damaged_slot_is_passed_over_and_named(fields: dict[str, int], words: str) -> None:
    volume = Volume(passphrases={0: b"broken", 2: b"sound"})
    material = volume.material.pop(0) if "all zeros" in words else b""
    volume.change(0, **fields)
    assert unlock(volume.header, volume.read, b"sound").slot_index == 2
    with pytest.raises(NeedsKey, match="none of the 2 active") as caught:
        unlock(volume.header, volume.read, b"broken")
    assert "key slot 0 cannot be tried" in caught.value.why
    assert words in caught.value.why
    volume.change(2, active=SlotState.DISABLED)
    with pytest.raises(Damaged, match="1 active key slot, none that can be tried"):
        unlock(volume.header, volume.read, b"broken")
    assert material or slot_trouble(volume.header.slots[0])


def text(name: str) -> bytes:
    return name.encode().ljust(32, b"\0")


HEADERS = [
    ({"version": 2}, Unsupported, "version 2"),
    ({"hash_spec": text("sha3-256")}, Unsupported, "hash function “sha3-256”"),
    ({"hash_spec": b"\xff" * 32}, Unsupported, r"hash function “\\xff"),
    ({"cipher_name": text("serpent")}, Unsupported, "serpent, which the cryptography library does not offer"),
    ({"cipher_name": text("twofish")}, Unsupported, "twofish, which the cryptography library does not offer"),
    ({"cipher_name": text("rot13")}, Unsupported, "cipher “rot13”"),
    ({"cipher_mode": text("gcm-plain64")}, Unsupported, "cipher mode “gcm”"),
    ({"cipher_mode": text("xts-random")}, Unsupported, "vectors “random”"),
    ({"cipher_mode": text("cbc"), "key_bytes": 32}, Unsupported, "vectors “”"),
    ({"cipher_mode": text("cbc-essiv:sha1")}, Damaged, "key of 64 bytes"),
    ({"cipher_mode": text("xts-essiv:sha1")}, Damaged, "key of 20 bytes"),
    ({"cipher_mode": text("xts-essiv")}, Unsupported, "hash function “”"),
    ({"key_bytes": 0}, Damaged, "master key of 0 bytes"),
    ({"key_bytes": 0xFFFF_FFFF}, Damaged, "master key of 4,294,967,295 bytes"),
    ({"key_bytes": 40}, Damaged, "key of 20 bytes"),
    ({"mk_digest_iterations": 0}, Damaged, "0 iterations of the master key digest"),
    ({"mk_digest_iterations": MAX_ITERATIONS + 1}, Damaged, "iterations of the master key digest"),
]


@pytest.mark.parametrize(("fields", "kind", "words"), HEADERS)
def test_headers_that_no_passphrase_opens(fields: dict[str, object], kind: type[Qcow2InspectError], words: str) -> None:
    volume = Volume()
    volume.change_header(**fields)
    with pytest.raises(kind, match=words):
        unlock(volume.header, volume.read, b"secret")


def test_cast5_has_no_xts() -> None:
    volume = Volume("cast5", "cbc-plain64", key_size=16)
    volume.change_header(cipher_mode=text("xts-plain64"), key_bytes=32)
    with pytest.raises(Unsupported, match="cast5 in XTS mode, which needs blocks of 128 bits"):
        unlock(volume.header, volume.read, b"secret")


def test_a_missing_hash_function_is_named() -> None:
    with (
        patch("hashlib.new", side_effect=ValueError("unsupported hash type")),
        pytest.raises(Unsupported, match="ripemd160, which this Python's OpenSSL does not offer"),
    ):
        require_hash("ripemd160")


SHORT_TEXT = st.sampled_from(["aes", "cast5", "xts-plain", "cbc-essiv:sha256", "sha1", "sha512", ""]).map(str.encode)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "cipher_name": SHORT_TEXT | st.binary(max_size=32),
        "cipher_mode": SHORT_TEXT | st.binary(max_size=32),
        "hash_spec": SHORT_TEXT | st.binary(max_size=32),
        "key_bytes": st.integers(0, 70) | st.integers(0, 0xFFFF_FFFF),
        "mk_digest_iterations": st.integers(0, 9) | st.integers(MAX_ITERATIONS + 1, 0xFFFF_FFFF),
    },
)
SLOT = st.fixed_dictionaries(
    {},
    optional={
        "iterations": st.integers(0, 9) | st.integers(MAX_ITERATIONS + 1, 0xFFFF_FFFF),
        "key_material_offset": st.integers(0, 9) | st.integers(0, 0xFFFF_FFFF),
        "stripes": st.just(4000) | st.integers(0, 0xFFFF_FFFF),
    },
)
HOSTILE = Volume()


@given(FIELDS, SLOT)
def test_whatever_the_header_says_the_end_is_a_cipher_or_an_error(
    fields: dict[str, object], slot: dict[str, object]
) -> None:
    volume = Volume.__new__(Volume)
    volume.header, volume.material = HOSTILE.header, HOSTILE.material
    volume.change_header(**{k: v.ljust(32, b"\0") if isinstance(v, bytes) else v for k, v in fields.items()})
    volume.change(0, **slot)
    try:
        opened = unlock(volume.header, volume.read, b"secret")
    except Qcow2InspectError:
        return
    assert opened.slot_index == 0


class StopAt:
    """Progress of a user who stops at the n-th question."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.begun: list[str] = []

    def begin(self, what: str, total: int | None) -> None:
        self.begun.append(what)

    def advance(self, amount: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled


def test_the_user_may_stop() -> None:
    never = threading.Event()

    def forever(*_: object) -> bytes:
        never.wait(20)
        return b""

    try:
        with patch("qcow2inspect.cipher.derivation._pbkdf2", forever), pytest.raises(Cancelled):
            derive("sha1", b"secret", b"salt", MAX_ITERATIONS, 32, progress=StopAt(2))
    finally:
        never.set()


def test_progress_names_the_slot() -> None:
    volume, progress = Volume(passphrases={4: b"secret"}), StopAt(100)
    unlock(volume.header, volume.read, b"secret", progress)
    assert progress.begun == ["trying key slot 4, 7 iterations"]


def test_what_fails_in_the_thread_is_raised_by_the_caller() -> None:
    with pytest.raises(ValueError, match="unsupported"):
        derive("no such hash", b"", b"", 1, 1, progress=Silent())


@given(
    st.sampled_from(["md5", "sha1", "sha256", "sha512"]), st.binary(max_size=9), st.integers(1, 30), st.integers(1, 80)
)
def test_derivation_is_pbkdf2(hash_name: str, secret: bytes, iterations: int, size: int) -> None:
    expected = hashlib.pbkdf2_hmac(hash_name, secret, b"salt", iterations, size)
    assert derive(hash_name, secret, b"salt", iterations, size, progress=Silent()) == expected


def test_key_material_lies_relative_to_the_header() -> None:
    volume, reads = Volume(), list[tuple[int, int]]()

    def read(offset: int, size: int) -> bytes:
        reads.append((offset, size))
        return volume.read(offset, size)

    unlock(volume.header, read, b"secret")
    assert reads == [(AT + 4096, 64 * 4000)]
