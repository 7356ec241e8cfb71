"""The export verb and its options, as a user runs them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qcow2inspect.build.demo import demo_disk
from tests.cli.conftest import ROOT, Run
from tests.images import qemu_img


def test_a_dry_run_writes_nothing(demo: Path, run: Run, tmp_path: Path) -> None:
    ran = run("export", demo / "demo.qcow2", tmp_path / "out.raw", "--dry-run")
    assert ran.code == 0
    assert "output       67,108,864 B (64 MiB)" in ran.out
    assert "unreadable   0 B" in ran.out
    assert "yes          the target is free and is not the evidence" in ran.out
    bad = run("export", demo / "demo-damaged.qcow2", tmp_path / "out.raw", "--dry-run")
    assert bad.code == 65
    assert "unreadable   65,536 B (64 KiB)" in bad.out
    assert os.listdir(tmp_path) == []


def test_hashes_and_manifest(demo: Path, run: Run, tmp_path: Path) -> None:
    ran = run("export", demo / "demo.qcow2", tmp_path / "out.raw", "--hash", "md5,SHA-256", "--verify")
    assert ran.code == 0, ran.err
    assert f"sha256   {hashlib.sha256(demo_disk()).hexdigest()}" in ran.err
    assert f"md5      {hashlib.md5(demo_disk()).hexdigest()}" in ran.err
    assert "also written:" in ran.err
    assert sorted(os.listdir(tmp_path)) == ["out.raw", "out.raw.manifest.json", "out.raw.manifest.txt"]
    text = (tmp_path / "out.raw.manifest.txt").read_text()
    assert f"command   qcow2inspect export {demo / 'demo.qcow2'} {tmp_path / 'out.raw'} --hash md5,SHA-256" in text


def test_what_damage_costs_is_said(demo: Path, run: Run, tmp_path: Path) -> None:
    ran = run("export", demo / "demo-damaged.qcow2", tmp_path / "out.raw", "--on-error=zero")
    assert ran.code == 0
    assert "could not be read: zeros stand in their place" in ran.err
    assert (tmp_path / "out.raw.map").exists()
    assert "NOT as the guest had it" in (tmp_path / "out.raw.manifest.txt").read_text()


def test_standard_output(demo: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "qcow2inspect", "export", str(demo / "demo.qcow2"), "-", "--range", "1M:0x200000"]
    ran = subprocess.run(command, capture_output=True, env=env, check=True)
    assert ran.stdout == demo_disk()[1 << 20 : 2 << 20]
    assert b"standard output: 1,048,576 B" in ran.stderr


def test_parts(demo: Path, run: Run, tmp_path: Path) -> None:
    ran = run("export", demo / "demo.qcow2", tmp_path / "out.raw", "--split=30MiB", "--sparse=detect")
    assert ran.code == 0, ran.err
    assert sorted(os.listdir(tmp_path)) == ["out.raw.001", "out.raw.002", "out.raw.003"]
    assert b"".join((tmp_path / name).read_bytes() for name in sorted(os.listdir(tmp_path))) == demo_disk()


def test_more_parts_than_files_may_be_open(demo: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "qcow2inspect", "export", str(demo / "demo.qcow2"), "out", "--split=1MiB"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for limits, code, count in ("ulimit -Sn 40; ulimit -Hn 300", 77, 0), ("ulimit -Sn 40", 0, 64):
        shell = ["bash", "-c", f'{limits} && exec "$@"', "bash", *words]
        ran = subprocess.run(shell, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == code, ran.stderr
        assert ("64 parts are more files" in ran.stderr) == bool(code)
        assert len(os.listdir(tmp_path)) == count


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--hash", "crc32"], "--hash: “crc32” is unknown"),
        (["--range", "5"], "write START:END"),
        (["--range", "2M:1M"], "write START:END"),
        (["--range", "0:1T"], "both at most 67,108,864 B"),
        (["--split", "many"], "--split: 'many' is not a size"),
        (["--split", "0"], "--split 0: parts of no bytes"),
        (["--hash", ","], "--hash: “,” is unknown"),
        (["--sparse=detect", "--no-sparse"], "not allowed with"),
        (["--resume", "--discard"], "not allowed with"),
    ],
)
def test_wrong_options(options: list[str], words: str, demo: Path, run: Run, tmp_path: Path) -> None:
    ran = run("export", demo / "demo.qcow2", tmp_path / "out.raw", *options)
    assert ran.code == 64
    assert words in ran.err
    assert os.listdir(tmp_path) == []


def test_levels_of_create(demo: Path, run: Run, tmp_path: Path) -> None:
    for words, message in ((["--level", "3"], "goes with --compress"), (["--compress=zlib", "--level=10"], "1 to 9")):
        ran = run("create", demo / "demo.raw", tmp_path / "x.qcow2", *words)
        assert ran.code == 64
        assert message in ran.err
    assert run("create", demo / "demo.raw", tmp_path / "x.qcow2", "--compress=zlib", "--level=9").code == 0
    assert run("export", tmp_path / "x.qcow2", tmp_path / "x.raw").code == 0
    assert (tmp_path / "x.raw").read_bytes() == demo_disk()


def test_bytes_of_a_structure(demo: Path, run: Run, tmp_path: Path) -> None:
    image, out = demo / "demo.qcow2", tmp_path / "out.bin"
    done = run("export", image, out, "--at", "hdr.l1_size", "--manifest")
    assert done.code == 0, done.err
    assert out.read_bytes() == image.read_bytes()[36:40]
    done = run("export", image, out, "--at", "0x10", "-n", "1K", "--force")
    assert done.code == 0, done.err
    assert out.read_bytes() == image.read_bytes()[16:1040]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--at", "nonsense"], "is no address"),
        (["--at", "hdr", "--range", "0:1"], "--at takes bytes of the image file"),
        (["--at", "hdr", "--snapshot", "1"], "--at takes bytes of the image file"),
        (["--at", "$", "-n", "2"], "do not lie in the file"),
        (["-n", "2"], "--length needs --at"),
    ],
)
def test_wrong_addresses(options: list[str], words: str, demo: Path, run: Run, tmp_path: Path) -> None:
    done = run("export", demo / "demo.qcow2", tmp_path / "out.bin", *options)
    assert done.code != 0
    assert words in done.err
    assert not (tmp_path / "out.bin").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out.map", ["--layer", "0"]),
        ("out.manifest.txt", ["--at", "hdr"]),
        ("out.002", ["--missing", "zero", "--split", "512KiB"]),
    ],
)
def test_no_file_of_the_chain_is_replaced_by_one_beside_the_output(
    name: str, words: list[str], run: Run, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(bytes(1 << 20))
    qemu_img("create", "-q", "-f", "qcow2", "-b", tmp_path / name, "-F", "raw", tmp_path / "top")
    for dry in (["--dry-run"], []):
        ran = run("export", "--force", *words, *dry, "top", "out", cwd=tmp_path)
        assert ran.code == 77, ran
        assert f"{name} is evidence: the image" in ran.err
        assert sorted(os.listdir(tmp_path)) == sorted([name, "top"]), "refused before the first byte"
