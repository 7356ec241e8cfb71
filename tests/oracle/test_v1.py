"""Images of version 1: QEMU's bytes, and its verdict on odd entries and headers."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from qcow2inspect.cipher.aes import legacy_aes
from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.image.support import Support
from qcow2inspect.image.v1 import V1Image
from qcow2inspect.image.v1_disk import V1Disk
from qcow2inspect.image.view import View
from tests.image.v1_images import V1Recipe
from tests.images import noise, qemu_img, raw_by_qemu, read_all, run_qemu

pytestmark = pytest.mark.oracle

PLAIN = noise(1, 100_000) + bytes(200_000) + b"text " * 30_000 + bytes(3 << 20) + b"end".ljust(512, b"\0")
PLAIN = PLAIN[: len(PLAIN) // 512 * 512]
SECRET = ("--object", "secret,id=key,data=a secret")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "i.raw"
    path.write_bytes(PLAIN)
    return path


def compressed(raw: Path, path: Path) -> None:
    """Let QEMU write a compressed image; 7.2 writes it whole and then ends with 1, without a word."""
    ran = run_qemu("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow", raw, path)
    assert ran.code == 0 or not ran.error, ran.error
    assert raw_by_qemu(path, "qcow") == raw.read_bytes()


@pytest.mark.parametrize("packed", [False, True])
def test_what_qemu_converts(tmp_path: Path, raw: Path, packed: bool) -> None:
    path = tmp_path / "i.qcow"
    if packed:
        compressed(raw, path)
    else:
        qemu_img("convert", "-f", "raw", "-O", "qcow", raw, path)
    with V1Image.open(path) as image:
        disk = image.active_disk()
        assert read_all(disk, 99_999) == PLAIN
        assert b"".join(map(disk.read_extent, disk.extents())) == PLAIN


def test_what_qemu_encrypts(tmp_path: Path, raw: Path) -> None:
    path = tmp_path / "i.qcow"
    options = "encrypt.format=aes,encrypt.key-secret=key"
    qemu_img("convert", *SECRET, "-f", "raw", "-O", "qcow", "-o", options, raw, path)
    target = f"driver=qcow,file.filename={path},encrypt.key-secret=key"
    ran = run_qemu("qemu-io", *SECRET, "--image-opts", "-c", "write -P 7 200k 512", "-c", "write -c -P 8 2M 4k", target)
    assert ran.code == 0, ran.out
    assert "failed" not in ran.out, ran.out
    now = bytearray(PLAIN)
    now[200 << 10 : (200 << 10) + 512] = b"\7" * 512
    now[2 << 20 : (2 << 20) + 4096] = b"\10" * 4096
    with V1Image.open(path) as image:
        disk = V1Disk(image, Support(cipher=legacy_aes(b"a secret")))
        assert read_all(disk, 99_999) == now
        assert b"".join(map(disk.read_extent, disk.extents())) == now


@pytest.mark.parametrize("size", ["64k", "1M", "5M"])
def test_overlays(tmp_path: Path, raw: Path, size: str) -> None:
    base, path = tmp_path / "base.qcow", tmp_path / "i.qcow"
    compressed(raw, base)
    qemu_img("create", "-q", "-f", "qcow", "-b", base, "-F", "qcow", path, size)
    ran = run_qemu("qemu-io", "-f", "qcow", "-c", "write -P 7 5k 3k", "-c", "write -P 9 60k 700", path)
    assert ran.code == 0
    with V1Image.open(base) as below, V1Image.open(path) as image:
        assert image.backing_name == bytes(base)
        disk: View = V1Disk(image, Support(below.active_disk()))
        assert read_all(disk, 99_999) == raw_by_qemu(path, "qcow")


def ours(data: bytes, path: Path) -> bytes | None:
    path.write_bytes(data)
    try:
        with V1Image.open(path) as image:
            cipher = legacy_aes(b"a secret") if image.is_encrypted else None
            disk = V1Disk(image, Support(cipher=cipher))
            return read_all(disk)
    except Qcow2InspectError:
        return None


RECIPE = V1Recipe(
    size=150 * 512 + 100,
    clusters={0: noise(1, 512), 1: noise(2, 512), 9: b"nine", 64: b"table 1", 149: b"last"},
    packed={5: b"five", 130: b"table 2"},
    cluster_bits=9,
    l2_bits=6,
)
HEADERS: list[dict[str, int]] = [
    {"size": 0}, {"size": 1}, {"size": 2}, {"size": 511}, {"size": 512},
    {"cluster_bits": 8}, {"cluster_bits": 17}, {"cluster_bits": 10}, {"l2_bits": 5}, {"l2_bits": 14}, {"l2_bits": 7},
    {"crypt_method": 2}, {"backing_file_size": 2000}, {"mtime": 77}, {"l1_table_offset": 1 << 40},
    {"l1_table_offset": 49}, {"l1_table_offset": (1 << 63) - 512}, {"l1_table_offset": (1 << 63) + 512},
]  # fmt: skip


@pytest.mark.parametrize("fields", HEADERS, ids=str)
def test_headers(tmp_path: Path, fields: dict[str, int]) -> None:
    path = tmp_path / "i.qcow"
    recipe = V1Recipe(**{**vars(RECIPE), "header": fields})
    expected = ours(recipe.build(), path)
    assert raw_by_qemu(path, "qcow") == expected


END = len(RECIPE.build())
ENTRIES = [
    1, 511, 512, END, END - 100, END // 512 * 512, END + 1, 1 << 40, (1 << 63) - (1 << 30) - 512,
    (1 << 63) - (1 << 30), (1 << 63) - 512, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 63 | 1 << 54,
    1 << 63 | 511 << 54,
    1 << 63 | 30 << 54 | END, 1 << 63 | 511 << 54 | END + 4096,
]  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES, ids=hex)
@pytest.mark.parametrize("which", ["entries", "spans"])
def test_odd_entries(tmp_path: Path, which: str, entry: int) -> None:
    path = tmp_path / "i.qcow"
    recipe = V1Recipe(**{**vars(RECIPE), which: {1: entry}})
    expected = ours(recipe.build(), path)
    assert raw_by_qemu(path, "qcow") == expected


@pytest.mark.parametrize("seed", range(12))
def test_changed_bytes(tmp_path: Path, seed: int) -> None:
    source, path = random.Random(seed), tmp_path / "i.qcow"
    data = bytearray(RECIPE.build())
    for _ in range(3):
        data[source.randrange(48, len(data))] = source.randrange(256)
    expected = ours(bytes(data), path)
    assert raw_by_qemu(path, "qcow") == expected
    path.write_bytes(bytes(data[: source.randrange(60, len(data))]))
    cut = path.read_bytes()
    assert ours(cut, path) == raw_by_qemu(path, "qcow")
