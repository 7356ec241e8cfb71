"""The qemu-img compatible JSON is qemu-img's, field by field, over many kinds of images."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from qcow2inspect.build.demo import demo_recipe
from qcow2inspect.build.recipe import build
from qcow2inspect.image.image import Image
from qcow2inspect.reports.qemu import info_document, map_entries, map_lines

pytestmark = pytest.mark.oracle


def qemu_img(*words: str | Path) -> str:
    for _ in range(10):
        done = subprocess.run(["qemu-img", *map(str, words)], capture_output=True, text=True, check=False, timeout=60)
        if "Unable to get accurate CPU usage" not in done.stderr:  # LUKS calibration on a busy machine
            break
    assert done.returncode == 0, done.stderr
    return done.stdout


def qemu_io(path: Path, *commands: str) -> None:
    words = [word for command in commands for word in ("-c", command)]
    done = subprocess.run(["qemu-io", *words, str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def create(path: Path, size: str, *options: str) -> None:
    words = [word for option in options for word in ("-o", option)]
    qemu_img("create", "-q", "-f", "qcow2", *words, path, size)


def mixed(path: Path, *options: str) -> None:
    create(path, "64M", *options)
    qemu_io(
        path,
        "write -P 1 0 200k",
        "write -z 1M 128k",
        "write -P 3 2M 64k",
        "write -z 2M 64k",
        "discard 64k 64k",
        "write -P 9 63M 1M",
    )


def compressed(path: Path, *options: str) -> None:
    mixed(path, *options)
    qemu_io(path, "write -c -P 7 4M 64k", "write -c -P 8 5M 64k")


def snapshots(path: Path) -> None:
    mixed(path)
    qemu_img("snapshot", "-c", "first", path)
    qemu_io(path, "write -P 5 0 64k")
    qemu_img("snapshot", "-c", "second one", path)


def bitmaps(path: Path) -> None:
    mixed(path)
    qemu_img("bitmap", "--add", path, "b0")
    qemu_img("bitmap", "--add", "-g", "128k", path, "b1")
    qemu_img("bitmap", "--disable", path, "b1")


def luks(path: Path) -> None:
    secret = ("--object", "secret,id=s,data=abc")
    options = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"
    qemu_img("create", "-q", "-f", "qcow2", *secret, "-o", options, path, "8M")


def aes(path: Path) -> None:
    secret = ("--object", "secret,id=s,data=abc")
    qemu_img("create", "-q", "-f", "qcow2", *secret, "-o", "encrypt.format=aes,encrypt.key-secret=s", path, "8M")


def overlay(path: Path) -> None:
    base = path.with_name("base.qcow2")
    create(base, "4M")
    qemu_img("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", path)


def data_file(path: Path, raw: str = "off") -> None:
    create(path, "1M", f"data_file={path}.data,data_file_raw={raw}")


def preallocated(path: Path, *options: str) -> None:
    create(path, "5M", "preallocation=metadata", *options)
    qemu_io(path, "write -P 1 100k 300k")


def old(path: Path) -> None:
    create(path, "10M", "compat=0.10")
    qemu_io(path, "write -P 4 0 1M")


def odd_size(path: Path) -> None:
    create(path, "1000k", "cluster_size=2M")
    qemu_io(path, "write 1k 3k")


def extended(path: Path) -> None:
    compressed(path, "extended_l2=on")
    qemu_io(path, "write -P 2 10M 3k", "write -z 10500k 2k", "discard 10M 2k")


def truncated(path: Path) -> None:
    mixed(path)
    os.truncate(path, 400_000)


IMAGES: dict[str, Callable[[Path], object]] = {
    "v3": mixed,
    "v2": old,
    "zlib": compressed,
    "zstd": lambda path: compressed(path, "compression_type=zstd"),
    "512-byte clusters": lambda path: compressed(path, "cluster_size=512"),
    "2 MiB clusters": lambda path: mixed(path, "cluster_size=2M"),
    "extended L2": extended,
    "lazy refcounts, 1 bit": lambda path: mixed(path, "lazy_refcounts=on", "refcount_bits=1"),
    "64-bit refcounts": lambda path: mixed(path, "refcount_bits=64"),
    "empty": lambda path: create(path, "1M"),
    "no disk": lambda path: create(path, "0"),
    "odd size": odd_size,
    "snapshots": snapshots,
    "preallocated": preallocated,
    "preallocated, 4 KiB clusters": lambda path: preallocated(path, "cluster_size=4k"),
    "preallocated, extended L2": lambda path: preallocated(path, "extended_l2=on"),
    "falloc": lambda path: create(path, "3M", "preallocation=falloc"),
    "full": lambda path: create(path, "1M", "preallocation=full,cluster_size=512"),
    "truncated": truncated,
    "own writer": lambda path: path.write_bytes(build(demo_recipe())),
}
INFO_ONLY: dict[str, Callable[[Path], object]] = {
    "bitmaps": bitmaps,
    "LUKS": luks,
    "AES": aes,
    "overlay": overlay,
    "data file": data_file,
    "raw data file": lambda path: data_file(path, "on"),
}


@pytest.mark.parametrize("name", [*IMAGES, *INFO_ONLY])
@pytest.mark.parametrize("absolute", [True, False])
def test_info(name: str, absolute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.qcow2"
    (IMAGES | INFO_ONLY)[name](path)
    monkeypatch.chdir(tmp_path)
    given = str(path) if absolute else path.name
    with Image.open(given) as image:
        assert info_document(image) == json.loads(qemu_img("info", "--output=json", given))


@pytest.mark.parametrize("name", IMAGES)
def test_map(name: str, tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    IMAGES[name](path)
    theirs = qemu_img("map", "--output=json", path)
    with Image.open(path) as image:
        ours = "".join(map_lines(map_entries(image.active_disk(), [image])))
    assert json.loads(ours) == json.loads(theirs)


def test_map_stops_where_qemu_stops(tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    overlay(path)
    with Image.open(path) as image, pytest.raises(Exception, match=r"backing file “base\.qcow2”"):
        list(map_entries(image.active_disk(), [image]))
