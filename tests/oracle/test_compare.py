"""Same and different as “qemu-img compare” has it; where it says why, the first difference too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qcow2inspect.image.compare import compare
from qcow2inspect.image.follow import open_chain
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.image.parts import Sums
from tests.images import qemu_img, qemu_io, run_qemu

pytestmark = pytest.mark.oracle

ANY = OpenGate(Follow.ANY)


def ours(a: Path, b: Path, *, snapshot: str | None = None, passphrase: bytes = b"") -> Sums:
    with open_chain(a, ANY, maybe_raw=True) as left, open_chain(b, ANY, maybe_raw=True) as right:
        for chain in (left, right):
            if passphrase and chain.is_encrypted:
                chain.unlock(passphrase)
        sums = Sums()
        for part in compare(left.disk(snapshot), right.disk()):
            sums.add(part)
        return sums


def theirs(a: str | Path, b: str | Path, *how: str) -> tuple[int, int | None]:
    """Exit code of qemu-img compare, and the sector that it calls the first to differ."""
    ran = run_qemu("qemu-img", "compare", *how, a, b)
    assert ran.code in (0, 1), ran.error
    found = re.search(r"mismatch at offset (\d+)", ran.out)
    return ran.code, int(found[1]) if found else None


def agree(sums: Sums, wanted: tuple[int, int | None]) -> None:
    code, first = wanted
    assert sums.unreadable == 0
    assert bool(sums.ranges) == (code == 1)
    if first is not None:
        assert sums.first is not None
        assert sums.first // 512 * 512 == first


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """base.raw <- mid.qcow2 <- top.qcow2, with a snapshot, zeros and compressed clusters."""
    base, mid, top = (tmp_path / name for name in ("base.raw", "mid.qcow2", "top.qcow2"))
    base.write_bytes(b"\x11" * (1 << 20) + bytes(1 << 20))
    qemu_img("create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", mid, "4M")
    qemu_io(mid, "write -P 0x22 64k 64k", "write -c -P 0x23 3M 64k", "write -z 128k 64k")
    qemu_img("create", "-q", "-f", "qcow2", "-b", "mid.qcow2", "-F", "qcow2", top)
    qemu_io(top, "write -P 0x33 192k 64k")
    qemu_img("snapshot", "-c", "first", top)
    qemu_io(top, "write -P 0x44 196k 4k", "write -P 0x45 2M 512")
    return top


def test_chains_and_what_was_made_of_them(chain: Path, tmp_path: Path) -> None:
    flat, packed, first = (tmp_path / name for name in ("flat.raw", "packed.qcow2", "first.raw"))
    qemu_img("convert", "-O", "raw", chain, flat)
    qemu_img("convert", "-c", "-O", "qcow2", "-o", "cluster_size=4k", chain, packed)
    qemu_img("convert", "-l", "snapshot.name=first", "-O", "raw", chain, first)
    for other in (flat, packed, first, tmp_path / "mid.qcow2", tmp_path / "base.raw"):
        agree(ours(chain, other), theirs(chain, other))
        agree(ours(other, chain), theirs(other, chain))
    agree(ours(chain, first, snapshot="first"), (0, None))
    assert ours(chain, chain, snapshot="first").differing == 4096 + 512
    data = bytearray(flat.read_bytes())
    for at in (0, 511, 512, 200_000, len(data) - 1):
        data[at] ^= 1
        (tmp_path / "touched.raw").write_bytes(data)
        data[at] ^= 1
        agree(ours(chain, tmp_path / "touched.raw"), theirs(chain, tmp_path / "touched.raw"))


@pytest.mark.parametrize("tail", [b"", b"\0" * 512, b"\0" * 65536 + b"x" * 512], ids=["cut", "zeros", "data"])
def test_sizes(chain: Path, tmp_path: Path, tail: bytes) -> None:
    flat, other = tmp_path / "flat.raw", tmp_path / "other.raw"
    qemu_img("convert", "-O", "raw", chain, flat)
    data = flat.read_bytes()
    other.write_bytes(data + tail if tail else data[: 3 << 20])
    agree(ours(chain, other), theirs(chain, other))
    agree(ours(other, chain), theirs(other, chain))


def test_encrypted(tmp_path: Path) -> None:
    plain = tmp_path / "plain.raw"
    plain.write_bytes(b"\x55" * 70_000 + bytes((1 << 20) - 70_000))
    secret = ("--object", "secret,id=s,data=abc")
    for method in ("luks", "aes"):
        image = tmp_path / f"{method}.qcow2"
        options = f"encrypt.format={method},encrypt.key-secret=s" + (",encrypt.iter-time=10" * (method == "luks"))
        qemu_img("convert", *secret, "-f", "raw", "-O", "qcow2", "-o", options, plain, image)
        opened = f"driver=qcow2,file.filename={image},encrypt.key-secret=s"
        raw = f"driver=raw,file.filename={plain}"
        agree(ours(image, plain, passphrase=b"abc"), theirs(opened, raw, *secret, "--image-opts"))
        assert ours(image, plain).unreadable >= 70_000
    changed = tmp_path / "changed.raw"
    changed.write_bytes(plain.read_bytes()[:-1] + b"!")
    agree(ours(tmp_path / "luks.qcow2", changed, passphrase=b"abc"), (1, (1 << 20) - 512))
