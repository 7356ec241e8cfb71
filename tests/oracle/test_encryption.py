"""Encrypted images of every kind that QEMU writes: its plain text must come out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qcow2inspect.cipher.aes import legacy_aes
from qcow2inspect.cipher.luks import active_slots, unlock
from qcow2inspect.cipher.protocol import Cipher
from qcow2inspect.errors import NeedsKey, Unsupported
from qcow2inspect.format.mapping import ClusterType, L1Entry
from qcow2inspect.image.image import Image
from qcow2inspect.image.view import Extent
from qcow2inspect.units import HostOffset
from tests.images import Ran, noise, run_qemu

pytestmark = pytest.mark.oracle

PASSPHRASE = "pässwörd, longer than sixteen bytes"
SECRET = ("--object", f"secret,id=key,data={PASSPHRASE.replace(',', ',,')}")
PLAIN = noise(1, 1 << 18) + bytes(1 << 17) + noise(2, 1 << 18)


def encrypted(path: Path, *options: str, source: bytes = PLAIN) -> Ran:
    """Let QEMU convert ``source`` into an encrypted image at ``path``."""
    raw = path.with_suffix(".raw")
    raw.write_bytes(source)
    words = ",".join(["encrypt.key-secret=key", *options])
    return run_qemu("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *SECRET, "-o", words, raw, path)


def luks(path: Path, *options: str, source: bytes = PLAIN) -> Ran:
    return encrypted(path, "encrypt.format=luks", "encrypt.iter-time=10", *options, source=source)


def io(path: Path, *commands: str) -> None:
    asked = [word for command in commands for word in ("-c", command)]
    target = f"driver=qcow2,file.filename={path},encrypt.key-secret=key"
    ran = run_qemu("qemu-io", *SECRET, "--image-opts", *asked, target)
    assert ran.code == 0, ran.error
    assert "failed" not in ran.out, ran.out


def deciphered(image: Image, cipher: Cipher, extents: Iterator[Extent]) -> bytes:
    """The guest bytes of extents, each stored one with the sector numbers that its cipher counts."""
    parts = []
    for extent in extents:
        if extent.kind is not ClusterType.NORMAL or extent.host is None:
            parts.append(bytes(extent.guest.size))
            continue
        at = extent.host.start if cipher.counts_host_sectors else extent.guest.start
        parts.append(cipher.decrypt(image.read(extent.host.start, extent.host.size), at // 512))
    return b"".join(parts)


def opened(path: Path) -> bytes:
    """The guest disk of a LUKS image."""
    with Image.open(path) as image:
        assert image.luks is not None
        cipher = unlock(image.luks, image.read, PASSPHRASE.encode()).cipher
        return deciphered(image, cipher, image.active_disk().extents())


IVS = ["plain", "plain64", "essiv,encrypt.ivgen-hash-alg=sha256", "essiv,encrypt.ivgen-hash-alg=md5"]
CIPHERS = [("aes-256", mode, IVS[i]) for mode in ("xts", "cbc", "ctr") for i in (1, 2)]
CIPHERS += [("aes-128", mode, IVS[i]) for mode in ("xts", "cbc", "ctr") for i in (0, 3)]
CIPHERS += [("aes-192", "xts", "plain64")]  # other modes of AES-192 make QEMU 7.2 fail an assertion
CIPHERS += [("aes-128", "ecb", "plain64"), ("cast5-128", "ecb", "plain64")]
CIPHERS += [("cast5-128", "cbc", IVS[1]), ("cast5-128", "cbc", IVS[3]), ("cast5-128", "ctr", IVS[0])]


@pytest.mark.parametrize(("cipher", "mode", "ivgen"), CIPHERS)
def test_ciphers_and_modes(tmp_path: Path, cipher: str, mode: str, ivgen: str) -> None:
    path = tmp_path / "i.qcow2"
    options = (f"encrypt.cipher-alg={cipher}", f"encrypt.cipher-mode={mode}", f"encrypt.ivgen-alg={ivgen}")
    assert luks(path, *options).code == 0
    assert opened(path) == PLAIN


@pytest.mark.parametrize("name", ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160"])
def test_hash_functions(tmp_path: Path, name: str) -> None:
    path = tmp_path / "i.qcow2"
    assert luks(path, f"encrypt.hash-alg={name}").code == 0
    assert opened(path) == PLAIN


@pytest.mark.parametrize("options", [("cluster_size=512",), ("compat=0.10",), ("cluster_size=2M", "extended_l2=on")])
def test_image_options(tmp_path: Path, options: tuple[str, ...]) -> None:
    path = tmp_path / "i.qcow2"
    assert luks(path, *options).code == 0
    assert opened(path) == PLAIN


@pytest.mark.parametrize("name", ["serpent-256", "twofish-128"])
def test_ciphers_that_are_not_offered(tmp_path: Path, name: str) -> None:
    path = tmp_path / "i.qcow2"
    assert luks(path, f"encrypt.cipher-alg={name}", source=PLAIN[:512]).code == 0
    with pytest.raises(Unsupported, match=name.partition("-")[0]):
        opened(path)


def test_cast5_with_a_key_of_the_wrong_length_is_refused_by_both(tmp_path: Path) -> None:
    ran = luks(
        tmp_path / "i.qcow2", "encrypt.cipher-alg=cast5-128", "encrypt.cipher-mode=cbc", f"encrypt.ivgen-alg={IVS[2]}"
    )
    assert "not supported with essiv" in ran.error


@pytest.mark.parametrize("passphrase", ["short", "exactly 16 bytes", PASSPHRASE])
def test_legacy_aes(tmp_path: Path, passphrase: str) -> None:
    raw, path = tmp_path / "i.raw", tmp_path / "i.qcow2"
    raw.write_bytes(PLAIN)
    secret = f"secret,id=key,data={passphrase.replace(',', ',,')}"
    options = "encrypt.format=aes,encrypt.key-secret=key"
    ran = run_qemu("qemu-img", "convert", "-O", "qcow2", "--object", secret, "-o", options, raw, path)
    assert ran.code == 0, ran.error
    with Image.open(path) as image:
        cipher = legacy_aes(passphrase.encode())
        assert deciphered(image, cipher, image.active_disk().extents()) == PLAIN


@pytest.mark.parametrize("kind", ["luks", "aes"])
def test_a_snapshot_keeps_its_sectors(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "i.qcow2"
    if kind == "luks":
        assert luks(path).code == 0
    else:
        assert encrypted(path, "encrypt.format=aes").code == 0
    target = f"driver=qcow2,file.filename={path},encrypt.key-secret=key"
    taken = run_qemu("qemu-img", "snapshot", *SECRET, "--image-opts", "-c", "before", target)
    assert taken.code == 0, taken.error
    io(path, "write -P 0xa5 0 192k", "write -P 0x5a 384k 4k")
    with Image.open(path) as image:
        cipher: Cipher = legacy_aes(PASSPHRASE.encode())
        if image.luks is not None:
            cipher = unlock(image.luks, image.read, PASSPHRASE.encode()).cipher
        now = bytearray(PLAIN)
        now[: 192 << 10] = b"\xa5" * (192 << 10)
        now[384 << 10 : 388 << 10] = b"\x5a" * (4 << 10)
        assert deciphered(image, cipher, image.active_disk().extents()) == now
        snapshot = image.snapshots[0]
        table = image.l2_table(
            L1Entry(int.from_bytes(image.read(snapshot.entry.l1_table_offset, 8), "big")).l2_table_offset
        )
        before = b""
        for index in range(len(PLAIN) // 65536):
            host = int(table[index].host_cluster_offset)
            at = host if cipher.counts_host_sectors else index * 65536
            before += cipher.decrypt(image.read(HostOffset(host), 65536), at // 512) if host else bytes(65536)
        assert before == PLAIN


def test_every_key_slot(tmp_path: Path) -> None:
    path = tmp_path / "i.qcow2"
    assert luks(path, source=PLAIN[:512]).code == 0
    target = f"driver=qcow2,file.filename={path},encrypt.key-secret=key"
    second = ("--object", "secret,id=more,data=second")
    added = run_qemu("qemu-img",
        "amend", *SECRET, *second, "--image-opts",
        "-o", "encrypt.state=active,encrypt.new-secret=more,encrypt.iter-time=10,encrypt.keyslot=5", target,
    )  # fmt: skip
    assert added.code == 0, added.error
    with Image.open(path) as image:
        assert image.luks is not None
        assert active_slots(image.luks) == [0, 5]
        assert unlock(image.luks, image.read, b"second").slot_index == 5
        assert unlock(image.luks, image.read, PASSPHRASE.encode()).slot_index == 0
        with pytest.raises(NeedsKey, match="none of the 2 active key slots"):
            unlock(image.luks, image.read, b"third")
    erased = run_qemu(
        "qemu-img", "amend", *SECRET, *second, "--image-opts", "-o", "encrypt.state=inactive,encrypt.keyslot=5", target
    )
    assert erased.code == 0, erased.error
    with Image.open(path) as image:
        assert image.luks is not None
        assert active_slots(image.luks) == [0]


def test_an_external_data_file(tmp_path: Path) -> None:
    path, data = tmp_path / "i.qcow2", tmp_path / "data"
    assert luks(path, f"data_file={data}").code == 0
    with Image.open(path) as image:
        assert image.luks is not None
        cipher = unlock(image.luks, image.read, PASSPHRASE.encode()).cipher
        stored = data.read_bytes()
        parts = [
            (extent.guest, cipher.decrypt(stored[extent.host.start : extent.host.end], extent.host.start // 512))
            for extent in image.active_disk().extents()
            if extent.host is not None and extent.kind is ClusterType.NORMAL
        ]
        assert sum(len(plain) for _, plain in parts) >= 1 << 19
        assert all(plain == PLAIN[guest.start : guest.end] for guest, plain in parts)
