"""``create`` writes images that QEMU calls clean and identical to the input."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from qcow2inspect.units import parse_size
from tests.cli.conftest import Run

pytestmark = pytest.mark.oracle


def disk(path: Path, size: int = 6 << 20, seed: int = 1) -> Path:
    """A sparse raw disk with text, noise and zeros."""
    noise = random.Random(seed)
    with path.open("wb") as file:
        file.truncate(size)
        for at in range(0, size - (1 << 16), 1 << 19):
            file.seek(at + noise.randrange(0, 4096))
            file.write(noise.randbytes(70_000) if noise.random() < 0.5 else b"some text " * 9000)
    return path


def qemu(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["qemu-img", *map(str, words)], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("cluster_size", ["512", "4K", "64K", "2M"])
@pytest.mark.parametrize("compress", [(), ("--compress", "zlib"), ("--compress", "zstd")])
def test_created_images(cluster_size: str, compress: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    raw, image = disk(tmp_path / "disk.raw"), tmp_path / "disk.qcow2"
    ran = run("create", raw, image, "--cluster-size", cluster_size, *compress)
    assert ran.code == 0, ran.err
    check = qemu("check", image)
    assert check.returncode == 0, check.stdout
    compare = qemu("compare", "-f", "raw", "-F", "qcow2", raw, image)
    assert compare.returncode == 0, compare.stdout
    assert image.stat().st_blocks * 512 < raw.stat().st_blocks * 512 + (1 << 20) + 8 * parse_size(cluster_size)
    assert run("export", image, tmp_path / "back.raw").code == 0
    assert (tmp_path / "back.raw").read_bytes() == raw.read_bytes()


@pytest.mark.parametrize(
    ("kind", "size"),
    [*((kind, size << 20) for kind in ("raw", "qcow2") for size in (4, 6, 8)), ("overlay", 4 << 20), ("qcow", 6 << 20)],
)
def test_overlays_hold_only_the_difference(kind: str, size: int, run: Run, tmp_path: Path) -> None:
    base_raw = disk(tmp_path / "base.raw", size)
    raw = tmp_path / "disk.raw"
    raw.write_bytes(base_raw.read_bytes().ljust(6 << 20, b"\0")[: 6 << 20])
    with raw.open("r+b") as file:
        file.seek(3 << 20)
        file.write(b"changed" * 1000)
        file.seek(1 << 20)
        file.write(bytes(200_000))
    base = base_raw
    if kind == "qcow2":
        base = tmp_path / "base.qcow2"
        assert run("create", base_raw, base).code == 0
    elif kind == "overlay":
        base = tmp_path / "between.qcow2"
        assert qemu("create", "-f", "qcow2", "-F", "raw", "-b", base_raw, base, str(6 << 20)).returncode == 0
    elif kind == "qcow":
        base = tmp_path / "base.qcow"
        assert qemu("convert", "-O", "qcow", base_raw, base).returncode == 0
    (tmp_path / "sub").mkdir()
    overlay = tmp_path / "sub" / "over.qcow2"
    words: list[str | Path] = ["create", raw, overlay, "--backing", os.path.relpath(base, tmp_path)]
    if kind == "overlay":
        assert run(*words, cwd=tmp_path).code == 66, "what it names is not opened unasked"
        assert run(*words[:2], base_raw, *words[3:], "--follow", "folder", "--force", cwd=tmp_path).code == 77
        words += ["--follow", "folder"]
    ran = run(*words, cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert qemu("check", overlay).returncode == 0
    compare = qemu("compare", "-f", "raw", "-F", "qcow2", raw, overlay)
    assert compare.returncode == 0, compare.stdout + compare.stderr
    assert overlay.stat().st_size < 1 << 20


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 65_535, 65_537])
def test_sizes_that_fill_no_cluster(size: int, run: Run, tmp_path: Path) -> None:
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    raw.write_bytes(b"\xa5" * size)
    ran = run("create", raw, image)
    assert ran.code == 0, ran.err
    assert ("filled up" in ran.err) == bool(size % 512)
    assert qemu("check", image).returncode == 0
    assert run("export", image, tmp_path / "back.raw").code == 0
    assert (tmp_path / "back.raw").read_bytes() == raw.read_bytes().ljust(-(-size // 512) * 512, b"\0")


def test_create_refuses(run: Run, tmp_path: Path) -> None:
    raw, image = disk(tmp_path / "disk.raw"), tmp_path / "disk.qcow2"
    assert run("create", raw, raw, "--force").code == 77
    assert run("create", tmp_path / "none", image).code == 66
    assert run("create", raw, image, "--cluster-size", "3K").code == 64
    assert run("create", raw, image).code == 0
    assert run("create", raw, image).code == 77
    sparse = tmp_path / "large.raw"
    sparse.touch()
    os.truncate(sparse, 200 << 30)
    ran = run("create", sparse, tmp_path / "large.qcow2", "--cluster-size", "512")
    assert ran.code == 77
    assert "larger" in ran.err
    assert not (tmp_path / "large.qcow2").exists()


@pytest.mark.parametrize("words", [(), ("--compress=zlib", "--level=1", "--cluster-size=4K"), ("--compress=zstd",)])
@pytest.mark.parametrize("source", ["64K", "4K", "extended"])
def test_an_image_from_a_snapshot(source: str, words: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    old, new, before = tmp_path / "old.qcow2", tmp_path / "new.qcow2", tmp_path / "before.raw"
    options = "extended_l2=on" if source == "extended" else f"cluster_size={source}"
    assert qemu("convert", "-O", "qcow2", "-o", options, disk(tmp_path / "disk.raw"), old).returncode == 0
    assert qemu("snapshot", "-c", "before", old).returncode == 0
    assert qemu("convert", "-l", "before", "-O", "raw", old, before).returncode == 0
    write = ["qemu-io", "-f", "qcow2", "-c", "write -q -P 9 1M 2M", "-c", "write -q -z 3M 1M", str(old)]
    assert subprocess.run(write, check=False).returncode == 0
    ran = run("create", old, new, "--from-snapshot", "before", *words)
    assert ran.code == 0, ran.err
    assert qemu("check", new).returncode == 0
    assert qemu("compare", "-f", "raw", "-F", "qcow2", before, new).returncode == 0
    assert run("create", old, old, "--from-snapshot", "before", "--force").code == 77
    assert run("create", old, tmp_path / "no.qcow2", "--from-snapshot", "none").code == 64
    assert not (tmp_path / "no.qcow2").exists()
