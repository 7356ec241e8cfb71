"""What an export writes is what qemu-img convert writes, for every kind of image and every way to write it."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qcow2inspect.export import target as targets
from qcow2inspect.export.choices import Choices, OnError, Sparse
from qcow2inspect.export.raw import export
from qcow2inspect.export.target import PipeTarget
from qcow2inspect.image.follow import open_chain
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.image.view import View
from qcow2inspect.units import GuestOffset, GuestRange
from tests.images import qemu_img, qemu_io, run_qemu

pytestmark = pytest.mark.oracle

SIZE = 6 << 20


def filled(folder: Path) -> Path:
    """A raw disk with text, noise, zeros and holes."""
    rng, path = random.Random(4), folder / "filled.raw"
    with path.open("wb") as file:
        file.truncate(SIZE)
        for at in range(0, SIZE - (1 << 18), 1 << 18):
            file.seek(at + rng.randrange(4096))
            file.write(rng.randbytes(90_000) if rng.random() < 0.5 else b"%d some text " % at * 9000)
    return path


def converted(folder: Path, *options: str) -> Path:
    image = folder / "disk.qcow2"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", *options, filled(folder), image)
    return image


def scattered(folder: Path, options: str) -> Path:
    """Written in random order, in odd pieces, with zero clusters and discarded ones."""
    image, rng = folder / "disk.qcow2", random.Random(8)
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, image, str(SIZE))
    places = [(rng.randrange(SIZE // 512 - 200) * 512, rng.randrange(1, 200) * 512) for _ in range(150)]
    verbs = [rng.choice([f"write -P {number + 1}", "write -z", "write -z -u", "discard"]) for number in range(150)]
    qemu_io(image, *[f"{verb} {at} {size}" for verb, (at, size) in zip(verbs, places, strict=True)])
    return image


def chain_of_five(folder: Path) -> Path:
    """Overlays with other cluster sizes over a compressed base; the third is shorter, the last longer."""
    rng, below = random.Random(9), converted(folder, "-c")
    for number, (options, size) in enumerate(
        [("cluster_size=4k", SIZE), ("cluster_size=512", SIZE), ("extended_l2=on", SIZE - 777 * 512), ("", SIZE)]
    ):
        image = folder / f"overlay{number}.qcow2"
        extra = ("-o", options) if options else ()
        qemu_img("create", "-q", "-f", "qcow2", "-b", below, "-F", "qcow2", *extra, image, str(size))
        commands = [f"write -P {number + 5} {rng.randrange(size // 512 - 99) * 512} 49152" for _ in range(12)]
        qemu_io(image, *commands, f"write -z {number << 20} 65536")
        below = image
    return below


def encrypted(folder: Path, form: str) -> Path:
    image = folder / "disk.qcow2"
    secret = ("--object", "secret,id=key,data=swordfish")
    options = f"encrypt.format={form},encrypt.key-secret=key" + (",encrypt.iter-time=100" if form == "luks" else "")
    qemu_img("convert", "-f", "raw", "-O", "qcow2", *secret, "-o", options, filled(folder), image)
    return image


IMAGES: dict[str, Callable[[Path], Path]] = {
    "plain": converted,
    "zlib": lambda folder: converted(folder, "-c"),
    "zlib-512": lambda folder: converted(folder, "-c", "-o", "cluster_size=512"),
    "zlib-2M": lambda folder: converted(folder, "-c", "-o", "cluster_size=2M"),
    "zstd": lambda folder: converted(folder, "-c", "-o", "compression_type=zstd"),
    "zstd-2M": lambda folder: converted(folder, "-c", "-o", "compression_type=zstd,cluster_size=2M"),
    "preallocated": lambda folder: scattered(folder, "preallocation=metadata"),
    "scattered": lambda folder: scattered(folder, "cluster_size=4k"),
    "extended": lambda folder: scattered(folder, "extended_l2=on,cluster_size=16k"),
    "data-file": lambda folder: scattered(folder, f"data_file={folder}/disk.data"),
    "raw-data-file": lambda folder: scattered(folder, f"data_file={folder}/disk.data,data_file_raw=on"),
    "chain": chain_of_five,
    "luks": lambda folder: encrypted(folder, "luks"),
    "aes": lambda folder: encrypted(folder, "aes"),
}


@pytest.fixture(scope="module", params=IMAGES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """An image, and its disk as qemu-img reads it."""
    folder = tmp_path_factory.mktemp(request.param)
    image, out = IMAGES[request.param](folder), folder / "by-qemu.raw"
    secret = ("--object", "secret,id=key,data=swordfish")
    options = f"driver=qcow2,file.filename={image}" + (
        ",encrypt.key-secret=key" if request.param in ("luks", "aes") else ""
    )
    ran = run_qemu("qemu-img", "convert", *secret, "--image-opts", options, "-O", "raw", out)
    assert ran.code == 0, ran
    return image, out.read_bytes()


@contextmanager
def disk_of(image: Path) -> Iterator[View]:
    with open_chain(image, OpenGate(Follow.ANY)) as chain:
        if chain.is_encrypted:
            chain.unlock(b"swordfish")
        yield chain.disk()


WAYS = {
    "as-it-comes": Choices(),
    "detect": Choices(sparse=Sparse.DETECT, verify=True),
    "off": Choices(sparse=Sparse.OFF),
    "preallocated": Choices(preallocate=True),
    "hashed": Choices(hashes=("sha256", "blake2b"), verify=True),
    "zero": Choices(on_error=OnError.ZERO, hashes=("md5",)),
    "best": Choices(on_error=OnError.BEST),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_what_qemu_gives(case: tuple[Path, bytes], way: str, tmp_path: Path) -> None:
    image, wanted = case
    with disk_of(image) as disk:
        result = export(disk, str(tmp_path / "out.raw"), WAYS[way])
    assert (tmp_path / "out.raw").read_bytes() == wanted
    for name, value in result.hashes.items():
        assert value == hashlib.new(name, wanted).hexdigest()
    assert not result.warnings


def test_every_target_gives_what_qemu_gives(
    case: tuple[Path, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, wanted = case
    start, end = 1_234_567, 5_000_001
    within = GuestRange(GuestOffset(start), GuestOffset(end))
    fd = os.open(tmp_path / "pipe", os.O_WRONLY | os.O_CREAT)
    monkeypatch.setattr(targets, "PipeTarget", lambda: PipeTarget(fd))
    monkeypatch.setattr(os, "isatty", lambda _: False)
    with disk_of(image) as disk:
        export(disk, str(tmp_path / "range"), Choices(within=within))
        export(disk, str(tmp_path / "hashed"), Choices(within=within, hashes=("sha1",), sparse=Sparse.DETECT))
        export(disk, str(tmp_path / "part"), Choices(split=1_000_000))
        export(disk, "-", Choices())
    os.close(fd)
    assert (tmp_path / "range").read_bytes() == wanted[start:end]
    assert (tmp_path / "hashed").read_bytes() == wanted[start:end]
    assert b"".join((tmp_path / f"part.{number:03}").read_bytes() for number in range(1, 8)) == wanted
    assert (tmp_path / "pipe").read_bytes() == wanted
