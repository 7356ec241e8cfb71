"""Persistent bitmaps that QEMU writes: what it calls dirty over NBD is what the bitmap marks."""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qcow2inspect.image.dirty import DirtyBitmap
from qcow2inspect.image.image import Image
from qcow2inspect.units import GuestRange
from tests.images import qemu_img, qemu_io, qemu_json, run_qemu

pytestmark = pytest.mark.oracle


@contextmanager
def served(path: Path, bitmap: str) -> Iterator[Path]:
    """The socket of a read-only export of an image with one of its bitmaps."""
    program = shutil.which("qemu-nbd")
    if program is None:
        pytest.fail("qemu-nbd is not installed: the oracle tests need it (Debian: apt-get install qemu-utils)")
    with tempfile.TemporaryDirectory() as folder:  # the path of a socket must be short
        socket = Path(folder) / "s"
        command = [program, "-r", "-t", "-k", str(socket), "-f", "qcow2", "-B", bitmap, str(path)]
        with subprocess.Popen(command) as server:
            try:
                until = time.monotonic() + 30
                while not socket.exists() and server.poll() is None and time.monotonic() < until:
                    time.sleep(0.02)
                yield socket
            finally:
                server.terminate()


def by_qemu(path: Path, bitmap: str) -> list[GuestRange]:
    """What QEMU calls dirty: its client shows dirty ranges as those without data."""
    with served(path, bitmap) as socket:
        options = f"driver=nbd,server.type=unix,server.path={socket},x-dirty-bitmap=qemu:dirty-bitmap:{bitmap}"
        entries = qemu_json("map", "--image-opts", options)
    return [GuestRange.at(entry["start"], entry["length"]) for entry in entries if not entry["data"]]


def ours(path: Path, bitmap: str) -> list[GuestRange]:
    with Image.open(path) as image:
        found = next(entry for entry in image.bitmaps if entry.name == bitmap.encode())
        dirty = DirtyBitmap(image, found)
        ranges = list(dirty.dirty_ranges())
        assert dirty.count() == (sum(part.size for part in ranges), len(ranges))
        return ranges


def writes(seed: int, size: int, count: int) -> list[str]:
    source = random.Random(seed)
    asked = []
    for _ in range(count):
        start = source.randrange(0, size // 512) * 512
        length = min(size - start, source.choice([512, 4096, 70_000 // 512 * 512, 1 << 20]))
        asked.append(f"write -z {start} {length}")
    return asked


@pytest.mark.parametrize(
    ("size", "cluster_size", "granularity"),
    [
        (1 << 30, "64k", 512),  # several clusters of bits
        (1 << 30, "64k", 65536),
        ((1 << 26) + 512 * 3, "512", 512),  # a table of many entries, a disk that ends inside a bit
        ((1 << 26) + 512 * 3, "4k", 65536),
        (1 << 40, "2M", 1 << 20),
        (512, "64k", 1 << 31),
    ],
)
def test_what_was_written(tmp_path: Path, size: int, cluster_size: str, granularity: int) -> None:
    path = tmp_path / "i.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"cluster_size={cluster_size}", path, str(size))
    qemu_io(path, *writes(1, size, 3))
    qemu_img("bitmap", "--add", "-g", str(granularity), path, "first")
    qemu_io(path, *writes(2, size, 20))
    qemu_img("bitmap", "--disable", path, "first")
    qemu_img("bitmap", "--add", path, "second")
    qemu_io(path, *writes(3, size, 20))
    for name in ("first", "second"):
        expected = by_qemu(path, name)
        assert expected
        assert ours(path, name) == expected


def test_everything_and_nothing(tmp_path: Path) -> None:
    path, size = tmp_path / "i.qcow2", 1 << 28
    qemu_img("create", "-q", "-f", "qcow2", path, str(size))
    qemu_img("bitmap", "--add", "-g", "512", path, "all")
    qemu_io(path, f"write -z 0 {size}")
    qemu_img("bitmap", "--add", "--disable", "-g", "512", path, "none")
    assert ours(path, "all") == by_qemu(path, "all") == [GuestRange.at(0, size)]
    assert ours(path, "none") == by_qemu(path, "none") == []
    qemu_img("bitmap", "--clear", path, "all")
    assert ours(path, "all") == by_qemu(path, "all") == []


def test_a_merge(tmp_path: Path) -> None:
    path = tmp_path / "i.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "64M")
    for name in ("one", "two"):
        qemu_img("bitmap", "--add", "-g", "4096", path, name)
        qemu_io(path, *writes(len(name) + ord(name[0]), 64 << 20, 5))
        qemu_img("bitmap", "--disable", path, name)
    qemu_img("bitmap", "--add", "--disable", "-g", "4096", path, "both")
    qemu_img("bitmap", "--merge", "one", "--merge", "two", path, "both")
    assert ours(path, "both") == by_qemu(path, "both") != []


def test_flags_and_granularity_are_those_that_qemu_names(tmp_path: Path) -> None:
    path = tmp_path / "i.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "64M")
    qemu_img("bitmap", "--add", path, "on")
    qemu_img("bitmap", "--add", "--disable", "-g", "8192", path, "off")
    told = qemu_json("info", path)["format-specific"]["data"]["bitmaps"]
    with Image.open(path) as image:
        bitmaps = [DirtyBitmap(image, entry) for entry in image.bitmaps]
        assert [(b.name, list(b.flags), b.granularity) for b in bitmaps] == [
            (entry["name"], entry["flags"], entry["granularity"]) for entry in told
        ]


def test_what_was_not_saved_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "i.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "64M")
    qemu_img("bitmap", "--add", path, "lost")
    run_qemu("qemu-io", "-f", "qcow2", "-c", "write 0 64k", "-c", "abort", path)
    told = qemu_json("info", path)["format-specific"]["data"]["bitmaps"][0]
    assert "in-use" in told["flags"]
    with Image.open(path) as image:
        bitmap = DirtyBitmap(image, image.bitmaps[0])
        assert [flag.replace("_", "-") for flag in bitmap.flags] == told["flags"]
        assert bitmap.notes[0].startswith("in use")
